"""Sizes for people."""


def words(size: int) -> str:
    """Bytes for people.

    >>> words(2_130 * 10**9), words(213 * 10**9), words(4_200 * 10**6), words(3 * 10**6)
    ('2.1 TB', '213 GB', '4.2 GB', '3 MB')
    """
    if size >= 1e12:
        return f"{size / 1e12:,.{0 if size >= 1e13 else 1}f} TB"
    if size < 1e8:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e9:.0f} GB" if size >= 1e10 else f"{size / 1e9:.2g} GB"
