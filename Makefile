# `make demo` runs the main job, `make test` the tests; both set up what they need from a bare Python 3.11.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# One stamp for each set of requirements; each set contains the one before it.
RUN := $(VENV)/.installed-run
TRAIN := $(VENV)/.installed-train
DEV := $(VENV)/.installed-dev
ORT_WEB := $(VENV)/npm/node_modules/onnxruntime-web
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

TRAINED := savedmodel/aha-lite.safetensors

# Free material for the scenes of `make train-lite` (folders textures_ambientcg, photos, materials, envmaps);
# without it the generator draws everything itself.
MATERIAL ?=
SCENES ?= runs/scenes
SCENE_COUNT ?= 23000
LITE_INIT ?=
LITE_RUN ?= runs/aha-lite
# What halves the time on a CPU with AVX512-BF16 and a C++ compiler; leave it empty elsewhere.
LITE_SPEED ?= --precision bf16 --channels_last --compile
DATA ?= ../shared/data

.PHONY: demo test test-numeric test-fast demo-test browser-runtime slow-list fault-test lint docs install package clean train-lite real-score gpu-check

install: $(DEV)

$(PY):
	$(PYTHON) -m venv $(VENV)

$(RUN): requirements.txt constraints.txt | $(PY)
	$(PIP_INSTALL) -r requirements.txt
	touch $@

$(TRAIN): pyproject.toml requirements.txt constraints.txt | $(PY)
	$(PIP_INSTALL) -e ".[train]"
	touch $@

$(DEV): pyproject.toml requirements.txt constraints.txt | $(PY)
	$(PIP_INSTALL) -e ".[dev]"
	touch $@

demo: $(RUN)
	$(PY) infer.py --input_dir samples --output_dir demo --infer_model $(TRAINED) --ext png --save_highlight --comparison
	$(PY) infer.py --input_dir samples --output_dir demo/shen2013 --method shen2013 --ext png --save_highlight --comparison
	@echo "Look at demo/*-comparison.png (network, $(TRAINED)) and demo/shen2013/*-comparison.png (classical)."

# Two processes: more would need more memory than a small machine has. A dead one is not replaced: pytest-xdist may
# wait for its successor for ever.
WORKERS := -n 2 --dist loadfile --max-worker-restart 0 --capture sys

test: lint
	$(PY) -m pytest -q $(WORKERS)

# Once more, with the instructions of a processor without AVX-512 and AMX: other sums, other roundings.
test-numeric: export ONEDNN_MAX_CPU_ISA := AVX2
test-numeric: export ATEN_CPU_CAPABILITY := avx2
test-numeric: $(DEV)
	$(PY) -m pytest -q -m numeric $(WORKERS)

# Without the tests marked `slow`, for the time between two edits.
test-fast: $(DEV)
	$(PY) -m pytest -q -m "not slow"

# Measures all tests and writes those over a quarter of a second to tests/slow_tests.txt; on an idle machine.
slow-list: $(DEV)
	$(PY) -m pytest -q --record_slow

# For the page of examples/browser/, which elsewhere takes it from a public mirror.
browser-runtime: $(ORT_WEB)

$(ORT_WEB): | $(PY)
	command -v npm > /dev/null || (apt-get update && apt-get install -y --no-install-recommends npm)
	npm install --silent --no-save --prefix $(VENV)/npm onnxruntime-web@1.30.0

# The pages in a real Chromium, which is installed where it is not (as root, on Debian or Ubuntu).
demo-test: $(DEV) $(ORT_WEB)
	command -v chromium > /dev/null || (apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core)
	DEMO_SCREENSHOT=docs/demo.png $(PY) -m pytest -q tests/webui
	DEMO_SCREENSHOT=docs/browser.png $(PY) -m pytest -q tests/examples/test_browser_page.py

# Damaged, forged and foreign files, kills and full disks, by the hundred; docs/RELIABILITY.md has the table.
fault-test: $(DEV)
	$(PY) -m tests.faults

lint: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The pages of docs/ as a site, in site/.
docs: | $(PY)
	$(PIP_INSTALL) -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

# The wheel and the source archive, in dist/.
package: $(DEV)
	$(PY) -m build

# From scratch, unattended; the same command goes on where it was stopped. The scenes are rendered once; the first
# part learns at one rate, the second, on larger crops, at a falling one, the third on crops as large as the network's
# working size and from darker and paler surfaces, too;
# the mean of checkpoints of all three is the result.
# LITE_INIT: weights to start from, which saves most of the first part.
LITE_TRAINING = --model aha-lite --dataroot $(SCENES) --lambda_content 0 --lambda_ssim 0 --lambda_gan 0 \
  --lambda_perceptual 0 --lambda_squared 100 --lambda_log 0.1 --log_floor 1e-5 --lambda_highlight 0.3 \
  --lambda_direct 2 --lambda_cross_entropy 1 --optimizer muon --lr_g 1.5e-3 --clip_grad 1 --size 0 --rotate \
  --highlight_scaling 0.3 --val_share 0.003 --val_every 1000 --keep_checkpoints 40 $(LITE_SPEED)

# Of TrashNet's photographs cardboard and paper: its plastic shines.
train-lite: $(TRAIN)
	$(PY) -m synthetic --out $(SCENES) --train $(SCENE_COUNT) --test 300 --size 384 --seed 0 \
	  --composition mixed --scene_options figurine_share=0.15 wide_share=0.12 film_share=0.1 rim_share=0.1 ridged_share=0.1 \
	  overexposed_share=0.06 \
	  $(if $(MATERIAL),--textures $(MATERIAL)/textures_ambientcg \
	  --materials $(MATERIAL)/materials --envmaps $(MATERIAL)/envmaps --photos '$(MATERIAL)/photos/trashnet_matte/[cp]a*' \
	  $(MATERIAL)/photos/budgie_backgrounds $(MATERIAL)/photos/wesaturate_cc0)
	$(PY) train.py --runs_name $(LITE_RUN)/first $(LITE_TRAINING) --crop 160 --scale_jitter 0.4 1.2 --batch_size 4 \
	  --max_steps 10000 --lr_schedule constant --warmup_steps 200 --ema_decay 0.9995 --lambda_chroma 2 \
	  --lambda_untouched 0.1 --exposure_jitter 0.3 --temperature_jitter 0.05 --seed 11 \
	  $(if $(LITE_INIT),--init_from $(LITE_INIT))
	$(PY) train.py --runs_name $(LITE_RUN)/second $(LITE_TRAINING) --crop 192 --scale_jitter 0.5 1.2 --batch_size 3 \
	  --max_steps 8000 --lr_schedule cosine --warmup_steps 100 --ema_decay 0.999 --lambda_chroma 3 \
	  --lambda_untouched 0.2 --exposure_jitter 0.8 --temperature_jitter 0.08 --seed 12 \
	  --init_from $(LITE_RUN)/first/last.safetensors
	$(PY) train.py --runs_name $(LITE_RUN)/third $(LITE_TRAINING) --crop 256 --scale_jitter 0.4 1.2 --batch_size 2 \
	  --max_steps 8000 --lr_schedule cosine --warmup_steps 100 --ema_decay 0.999 --lambda_chroma 8 --lambda_overlap 1 \
	  --lambda_untouched 0.15 --exposure_jitter 0.8 --temperature_jitter 0.08 --diffuse_gamma_jitter 0.5 --seed 13 \
	  --init_from $(LITE_RUN)/second/last.safetensors
	$(PY) -m weights.average $(LITE_RUN)/first/best-0000[89]000.pt $(LITE_RUN)/first/best-00010000.pt \
	  $(LITE_RUN)/second/best-0000[5678]000.pt $(LITE_RUN)/third/best-0000[2-8]000.pt $(TRAINED)

# Scores of the shipped weights, the untouched input and the classical methods on real pairs.
real-score: $(TRAIN)
	$(PY) -m tools.scoreboard --data $(DATA)

# What to run first on a machine with an NVIDIA GPU; goes on where it was stopped.
gpu-check: $(TRAIN)
	$(PY) -m tools.gpu_check --out gpu.json

clean:
	rm -rf $(VENV) demo dist site
