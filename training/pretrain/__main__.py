"""``python -m training.pretrain``."""

from training.pretrain.train import main

if __name__ == "__main__":
    main()
