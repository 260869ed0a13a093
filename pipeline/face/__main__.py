"""`python -m goodsam`."""

from goodsam.pipeline.cli.app import main

if __name__ == "__main__":
    main()
