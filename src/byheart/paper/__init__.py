"""The paper's experiments on any model: presets, the runs behind them, tables and figures beside what was published."""
