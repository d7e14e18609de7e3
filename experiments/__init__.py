"""The papers' runs from one command: data, training, checkpoints, reports. Needs a checkout of the repository.

    python -m experiments copy-memory --preset paper-copy-1000
    python -m experiments pixels --preset paper-smnist-16k --data-dir FOLDER
    python -m experiments pixels --dataset digits --rows --cell lstm --epochs 20
    python -m experiments pixels --dataset digits --cell lru --hidden 64 --residual --layers 2 --dropout 0.1
    python -m experiments copy-memory --delay 100 --cell alif --options surrogate=slayer tau=20
    python -m experiments copy-memory --delay 100 --options map=expm dynamic=true
    python -m experiments text --data-dir FOLDER --cell lstm --hidden 224
    python -m experiments stream --dataset speech --data-dir FOLDER_OF_WAV_FILES --cell gru
    python -m experiments report runs/*
    python -m experiments save runs/NAME --name mine --to .        # its best network, with a card, in one small file
    python -m experiments evaluate --pretrained mine.safetensors   # or asrnn_jax.pretrained.load("mine.safetensors")
    python -m experiments robustness --pretrained mine.safetensors theirs.safetensors

``python -m experiments`` lists the commands, ``list`` the cells, ``presets`` the paper's recipes with what to expect
of them, and ``--help`` every flag. ``zoo`` trains every cell for a short while on two tasks.

**Data.** MNIST and Fashion-MNIST are read from a folder with their four IDX files, or as prepared by TFDS. Text is a
folder with a training, a validation and a test file. ``digits`` and the synthetic tasks need no data.

**The papers.** ``papers`` carries out every run behind the results, one after another, and ``report --collect
runs/papers`` makes the results page of them. ``pixels --validation 5000`` chooses the epoch on held-out images,
``--teacher`` distils a trained network into another, ``--freeze D_f`` keeps parameters as they start.

**A run is a folder**: ``config.json``, ``metrics.jsonl``, ``probes.jsonl``, ``checkpoints/``, ``best.safetensors``,
``figures/``, ``result.json`` and ``timing.json``. Ctrl-C, SIGTERM and SIGUSR1 save; ``--out FOLDER --resume``
continues. What a resumed run promises: `experiments.training.checkpoints`.

**Several devices, several hosts.** Training shares each batch among all cores or accelerators. For several hosts,
start the same command on each with ``--coordinator HOST:PORT --processes N --process-id K``, or with ``--coordinator
auto`` under Slurm, Open MPI and the like. A run saved by several processes continues with one, and the other way
round. When one process dies, the others end and say so. Measured: two processes on one machine. Not measured: several
accelerators at once, several machines.

**Speed.** ``bench`` measures training steps beside other libraries, ``scaling`` what devices exchange.
"""
