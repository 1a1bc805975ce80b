# The same app as `make app`, for a server: non-root, fit for a read-only root and no network at run time.
#   docker build -t fusescope .
#   docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp -v fusescope:/workspace \
#     -p 127.0.0.1:8501:8501 fusescope
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 fusescope && mkdir /workspace && chown fusescope /workspace
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY app app
COPY core core
COPY assets assets
COPY .streamlit .streamlit
# The one file that the browser is served from the pyvis wheel is laid out at build time: the root may be read-only.
RUN python -m app.widgets.static && python -m compileall -q app core

ENV OMP_NUM_THREADS=1 \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    FUSESCOPE_WORKSPACE=/workspace \
    NUMBA_CACHE_DIR=/tmp/numba \
    MPLCONFIGDIR=/tmp/matplotlib \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0
USER fusescope
VOLUME /workspace
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["python", "-m", "streamlit", "run", "app/server.py"]
