"""A program that does a piece of work for every line on its input, so that two can be measured in turn."""

import subprocess


class Worker:
    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self) -> float:
        """Has the work done once; the seconds that it took."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def finish(self) -> dict[str, float]:
        """Ends the program; what it reports then, a name and a value a line."""
        self.process.stdin.close()
        report = dict(line.split() for line in self.process.stdout)
        self.process.wait()
        return {name: float(value) for name, value in report.items()}
