#pragma once
/// The subcommands, one a source file. Each has options, validates, works and reports.

#include <CLI/CLI.hpp>

namespace tool {

void add_info(CLI::App& app);
void add_eval(CLI::App& app);
void add_predict(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_merge(CLI::App& app);
void add_prune(CLI::App& app);
void add_sweep(CLI::App& app);
void add_explain(CLI::App& app);
void add_finetune(CLI::App& app);
void add_train(CLI::App& app);
void add_bench(CLI::App& app);
void add_export(CLI::App& app);
/// Chooses the kernels: the best, or those of --arch or VBP_ARCH; vbp info --machine shows them. Comes after
/// add_info.
void add_machine(CLI::App& app);

}  // namespace tool
