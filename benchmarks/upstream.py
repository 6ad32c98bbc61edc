"""The upstream that everything is measured in front of: `python benchmarks/upstream.py --http 0` or `--stdio`.

It is the one that `garrison bench` uses for its own throw-away fleet.
"""

from garrison.surfaces.bench.echo import main

if __name__ == "__main__":
    main()
