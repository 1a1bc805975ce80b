"""ℓp-norm MKL against slow formulas, other libraries, and the same convex problem solved another way."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import LinearConstraint, minimize
from sklearn.decomposition import KernelPCA
from sklearn.metrics.pairwise import linear_kernel, polynomial_kernel, rbf_kernel
from sklearn.svm import SVC

from core.fusion import svm


def problem(count: int = 24, seed: int = 0, strengths: tuple[float, ...] = (1.5, 0.7, 0.0)) -> tuple[np.ndarray, ...]:
    """Grams of views that tell two classes apart more or less, signs, and real targets."""
    random = np.random.default_rng(seed)
    y = np.where(np.arange(count) % 2 == 0, 1.0, -1.0)
    K = []
    for strength in strengths:
        rows = random.normal(size=(count, 3))
        rows[:, 0] += strength * y
        K.append(rbf_kernel(rows, gamma=0.3))
    return np.stack(K), y[:, None], (y + 0.3 * random.normal(size=count))[:, None]


def independent(K: np.ndarray, target: np.ndarray, p: float, C: float, epsilon: float | None) -> float:
    """The dual over all a at once, by SLSQP: neither libsvm nor the alternation. max yᵀa - ε|a| - 1/2 ‖q‖_p*."""
    y, n = target[:, 0], len(target)
    if epsilon is None:  # u = y a in [0, C]
        signs, cost = np.diag(y), np.ones(n)
    else:  # u = (α, α'), a = α - α'
        signs, cost = np.hstack([np.eye(n), -np.eye(n)]), np.concatenate([y, -y]) - epsilon
    size = signs.shape[1]
    Q = np.stack([signs.T @ each @ signs for each in K])
    if p == 1:  # the largest q as a variable of its own
        found = minimize(
            lambda u: 0.5 * u[-1] - cost @ u[:-1],
            np.r_[np.full(size, 0.1), 10.0],
            jac=lambda u: np.r_[-cost, 0.5],
            bounds=[(0, C)] * size + [(0, None)],
            constraints=[
                LinearConstraint(np.r_[signs.sum(0), 0.0], 0, 0),
                {
                    "type": "ineq",
                    "fun": lambda u: u[-1] - np.einsum("i,mij,j->m", u[:-1], Q, u[:-1]),
                    "jac": lambda u: np.hstack([-2 * Q @ u[:-1], np.ones((len(Q), 1))]),
                },
            ],
            method="SLSQP",
            options={"maxiter": 1000, "ftol": 1e-12},
        )
    else:
        star = svm.dual_of(p)

        def value(u: np.ndarray) -> tuple[float, np.ndarray]:
            each = Q @ u
            q = np.maximum(each @ u, 1e-30)
            whole = (q**star).sum() ** (1 / star)
            return 0.5 * whole - cost @ u, ((q / whole) ** (star - 1)) @ each - cost

        found = minimize(
            value, np.full(size, 0.1), jac=True, bounds=[(0, C)] * size, method="SLSQP",
            constraints=[LinearConstraint(signs.sum(0), 0, 0)], options={"maxiter": 1000, "ftol": 1e-12},
        )  # fmt: skip
    assert found.success, found.message
    return -float(found.fun)


@pytest.mark.parametrize("p", [1.0, 4 / 3, 2.0, 8.0])
@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_the_alternation_ends_at_the_minimum_that_another_solver_finds(p: float, epsilon: float | None) -> None:
    K, signs, real = problem()
    target = signs if epsilon is None else real
    found = svm.alternate(K, target, p, 1.0, epsilon, 1e-6)
    assert found.rounds[-1].gap <= 1e-6
    assert found.rounds[-1].objective == pytest.approx(independent(K, target, p, 1.0, epsilon), rel=2e-5)
    assert svm.norm(found.beta, p) == pytest.approx(1)


def test_the_gap_bounds_how_far_every_round_is_from_the_minimum() -> None:
    K, target, _ = problem(30, 1)
    best = independent(K, target, 1.0, 1.0, None)
    told = svm.alternate(K, target, 1.0, 1.0, None, 1e-4).rounds
    assert len(told) > 3
    for each in told:
        assert -1e-7 <= (each.objective - best) / each.objective <= each.gap + 1e-7
    assert told[-1].gap <= 1e-4


def test_a_step_that_was_too_long_is_taken_back() -> None:
    """Where the objective rises, the closed form from the best weights so far is next: it is below them."""
    K, target, _ = problem(60, 0, (1.0, 1.0, 0.9, 0.8, 0.5))
    told = [each.objective for each in svm.alternate(K, target, 1.0, tolerance=1e-6).rounds]
    rises = [at for at in range(1, len(told) - 1) if told[at] > min(told[:at]) * (1 + 1e-6)]
    assert rises
    assert all(told[at + 1] <= min(told[:at]) * (1 + 1e-6) for at in rises)


@pytest.mark.parametrize("p", [1.0, 4 / 3, 2.0, 64.0])
def test_at_the_end_all_active_kernels_are_as_useful(p: float) -> None:
    """‖w_m‖² / β_m^(p+1), from the solution's own numbers, within 1 %."""
    K, target, _ = problem(60, 2, (1.2, 0.9, 0.6, 0.0))
    found = svm.alternate(K, target, p)
    active = found.beta > 0.01 * found.beta.max()
    ratio = found.squares.sum(1)[active] / found.beta[active] ** (p + 1)
    assert ratio.max() / ratio.min() <= 1.01
    assert found.rounds[-1].gap <= 1e-4
    q = np.array([found.duals.a[:, 0] @ each @ found.duals.a[:, 0] for each in K])
    np.testing.assert_allclose(found.squares[:, 0], found.beta**2 * q, rtol=1e-9)


def test_nothing_on_the_sphere_beats_the_closed_form() -> None:
    random = np.random.default_rng(0)
    squares = random.uniform(0.1, 2, 5)
    for p in (1.0, 1.5, 2.0, 10.0):
        best = (squares / svm.closed_form(squares, p)).sum()
        for _ in range(200):
            other = random.uniform(0.01, 1, 5)
            assert (squares / (other / svm.norm(other, p))).sum() >= best - 1e-9
    np.testing.assert_array_equal(svm.closed_form(squares, math.inf), np.ones(5))
    np.testing.assert_allclose(svm.closed_form(np.zeros(4), 2.0), 0.5)


def test_infinite_p_is_the_sum_of_the_kernels_and_large_p_nearly() -> None:
    K, target, _ = problem(40, 3)
    uniform = svm.alternate(K, target, math.inf)
    np.testing.assert_array_equal(uniform.beta, np.ones(3))
    machine = SVC(kernel="precomputed", tol=1e-6).fit(K.sum(0), target[:, 0])
    said = svm.combined(K, uniform.beta) @ uniform.duals.a + uniform.duals.b
    np.testing.assert_allclose(said[:, 0], machine.decision_function(K.sum(0)), atol=1e-3)
    large = svm.alternate(K, target, 64.0)
    assert large.beta.min() > 0.9
    assert uniform.rounds[-1].objective < large.rounds[-1].objective  # a larger ball reaches lower
    assert large.rounds[-1].objective < svm.alternate(K, target, 1.0).rounds[-1].objective


def test_noise_loses_its_weight_as_p_falls() -> None:
    K, target, _ = problem(60, 4)
    shares = [(found := svm.alternate(K, target, p).beta)[2] / found.sum() for p in (64.0, 4.0, 2.0, 4 / 3, 1.0)]
    assert (np.diff(shares) < 0).all()
    assert shares[-1] < 0.1


def test_the_order_of_kernels_does_not_matter_and_twins_share() -> None:
    K, target, _ = problem(40, 5)
    turned = svm.alternate(K[::-1], target, 1.5, tolerance=1e-7).beta[::-1]
    np.testing.assert_allclose(svm.alternate(K, target, 1.5, tolerance=1e-7).beta, turned, atol=1e-3)
    twins = svm.alternate(K[[0, 0, 1]], target, 2.0).beta
    assert twins[0] == pytest.approx(twins[1], abs=1e-9)


def test_outputs_that_share_beta_add_up_and_an_absent_class_says_no() -> None:
    """Twice the same output: the weights of one, twice the objective. A class that no row has: -1 for every row."""
    K, target, _ = problem(40, 6)
    one, two = (svm.alternate(K, each, 1.5) for each in (target, np.hstack([target, target])))
    np.testing.assert_allclose(two.beta, one.beta, rtol=1e-6)
    assert two.rounds[-1].objective == pytest.approx(2 * one.rounds[-1].objective, rel=1e-6)
    absent = svm.alternate(K, np.hstack([target, -np.ones_like(target)]), 1.5)
    np.testing.assert_allclose(absent.beta, one.beta, rtol=1e-6)
    assert not absent.duals.a[:, 1].any()
    assert absent.duals.b[1] == -1


def test_constant_targets_leave_the_weights_even() -> None:
    K, _, _ = problem(20)
    found = svm.alternate(K, np.zeros((20, 1)), 1.0, epsilon=0.1)
    np.testing.assert_allclose(found.beta, 1 / 3)
    assert found.rounds[-1].gap == 0


# ---------------------------------------------------------------------------- kernels and chances


def test_kernels_are_those_of_another_library() -> None:
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 4, generator=random, dtype=torch.float64) for n in (7, 5))
    np.testing.assert_allclose(svm.gram("linear", x, y, 1.0, 1.0, 2), linear_kernel(x, y))
    np.testing.assert_allclose(svm.gram("rbf", x, y, 1.5, 1.0, 2), rbf_kernel(x, y, gamma=1 / (2 * 1.5**2)))
    expected = polynomial_kernel(x, y, degree=3, gamma=1 / 2.5, coef0=1)
    np.testing.assert_allclose(svm.gram("poly", x, y, 1.0, 2.5, 3), expected)
    for kind in svm.KINDS:
        diagonal = svm.gram(kind, x, x, 1.5, 2.5, 3).diagonal()
        torch.testing.assert_close(svm.own(kind, x, 2.5, 3), diagonal)


def test_the_logistic_is_found_again_and_never_turned_around() -> None:
    random = np.random.default_rng(0)
    f = random.normal(size=20_000)
    yes = random.uniform(size=20_000) < 1 / (1 + np.exp(-(2 * f - 0.5)))
    slope, offset = svm.platt(f, yes)
    assert slope == pytest.approx(2, abs=0.08)
    assert offset == pytest.approx(-0.5, abs=0.05)
    assert svm.platt(f, ~yes)[0] == pytest.approx(1e-3)
    assert np.isfinite(svm.platt(f[:5], np.ones(5, bool))).all()


def test_the_factor_of_the_classes_is_found_again() -> None:
    random = np.random.default_rng(1)
    f = random.normal(size=(20_000, 3))
    logits = 1.7 * f
    target = (logits + random.gumbel(size=f.shape)).argmax(1)
    assert svm.sharpness(f, target) == pytest.approx(1.7, abs=0.06)


def test_held_out_values_never_saw_their_group() -> None:
    K, target, _ = problem(30, 7)
    groups = np.repeat(np.arange(10), 3)
    before = svm.held_out(K.sum(0), target, groups, 1.0)
    other = target.copy()
    other[groups == 4] = 1.0
    after = svm.held_out(K.sum(0), other, groups, 1.0)
    np.testing.assert_allclose(after[groups == 4], before[groups == 4])
    assert not np.allclose(after[groups != 4], before[groups != 4])


# ---------------------------------------------------------------------------- what a kernel sees


def test_kernel_pca_is_that_of_another_library() -> None:
    K = problem(40, 8)[0][0]
    found = svm.kernel_pca(K)
    expected = KernelPCA(2, kernel="precomputed", eigen_solver="dense").fit_transform(K)
    np.testing.assert_allclose(np.abs(found.places), np.abs(expected), atol=1e-8)
    assert 0 < found.shares[1] <= found.shares[0] < 1
    one = svm.kernel_pca(np.ones((1, 1)))
    assert not one.places.any()
    assert not svm.kernel_pca(np.ones((5, 5))).shares.any()


def test_separation_and_alignment_are_those_of_the_rows_themselves() -> None:
    """A linear kernel's space is the rows' own: variances and inner products written out."""
    random = np.random.default_rng(2)
    target = random.integers(0, 3, 50)
    rows = random.normal(size=(50, 4)) + 0.8 * target[:, None]
    K = rows @ rows.T
    means = np.stack([rows[target == target[i]].mean(0) for i in range(50)])
    between, total = means.var(0).sum(), rows.var(0).sum()
    assert svm.separation(K, target) == pytest.approx(between / total)
    assert svm.separation(K + 7, target) == pytest.approx(between / total)
    assert math.isnan(svm.separation(K, np.zeros(50, int)))
    assert math.isnan(svm.separation(np.ones((50, 50)), target))
    onehot = np.eye(3)[target]
    middle, wanted = rows - rows.mean(0), onehot - onehot.mean(0)
    a, b = middle @ middle.T, wanted @ wanted.T
    expected = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
    assert svm.alignment(K, onehot) == pytest.approx(expected)
    assert math.isnan(svm.alignment(K, np.ones((50, 1))))


def test_classes_that_mean_nothing_separate_as_much_as_chance_says() -> None:
    random = np.random.default_rng(3)
    rows = random.normal(size=(60, 5))
    found = [svm.separation(rows @ rows.T, random.permutation(60) % 4) for _ in range(400)]
    assert np.mean(found) == pytest.approx(3 / 59, rel=0.05)
