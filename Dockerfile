# The browser interface on the CPU:
#   docker build -t dehighlight .
#   docker run --rm -p 7860:7860 dehighlight               then open http://localhost:7860
# Any other command:
#   docker run --rm -v "$PWD:/pictures" dehighlight infer --input_dir /pictures --output_dir /pictures/clean
FROM python:3.11-slim

# CPU builds of both: a fifth of the default wheels' size.
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu

WORKDIR /src
COPY . .
RUN pip install --no-cache-dir ".[demo]"

RUN useradd --create-home user
USER user
WORKDIR /home/user
EXPOSE 7860
ENTRYPOINT ["dehighlight"]
CMD ["demo", "--host", "0.0.0.0", "--port", "7860"]
