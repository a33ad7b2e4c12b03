"""``python -m training.reproduce``."""

from training.reproduce.chain import main

if __name__ == "__main__":
    main()
