/// vbp: prunes trained Vision Transformers, Swin Transformers and ConvNeXts, from the command line.

#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "vbp/pipeline/version.hpp"

namespace {

static_assert(std::string_view(VBP_VERSION) == vbp::kVersion,
              "the project's version and the library's differ");

int fail(const std::string& reason, int code) {
  std::cerr << "vbp: " << tool::printable(reason) << '\n';
  return code;
}

/// The exit code of a program that has printed everything; `code` if that has reached stdout.
int end_of_output(int code = 0) {
  std::cout.flush();
  return std::cout ? code : fail("standard output cannot be written", 1);
}

constexpr const char* kHint = " (--help says more)";

void add_subcommands(CLI::App& app) {
  tool::add_info(app);
  tool::add_eval(app);
  tool::add_predict(app);
  tool::add_calibrate(app);
  tool::add_merge(app);
  tool::add_prune(app);
  tool::add_sweep(app);
  tool::add_explain(app);
  tool::add_finetune(app);
  tool::add_train(app);
  tool::add_bench(app);
  tool::add_export(app);
  tool::add_machine(app);
}

int run(CLI::App& app, int argc, char** argv) {
  try {
    add_subcommands(app);
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) throw tool::UsageError("a subcommand is required");
    return end_of_output();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return fail(error.what() + std::string(kHint), 2);
    app.exit(error);  // prints the help or the version
    return end_of_output();
  } catch (const tool::UsageError& error) {
    return fail(error.what() + std::string(kHint), 2);
  } catch (const vbp::MemoryLimitError& error) {
    return fail("--memory: " + std::string(error.what()) + kHint, 2);
  } catch (const tool::ReportedFailure&) {
    return end_of_output(1);
  } catch (const tool::Interrupted& error) {
    return fail(error.what(), 130);
  } catch (const vbp::Cancelled&) {
    return fail("interrupted; nothing was written", 130);
  }
}

}  // namespace

int main(int argc, char** argv) {
  tool::set_signals();
  CLI::App app("Variance-Based Pruning of ViTs, Swins and ConvNeXts: smaller and faster on the CPU you have.",
               "vbp");
  app.set_version_flag("--version", "vbp " VBP_VERSION);
  // Zero is allowed here: with a least number of one, a misspelt subcommand would be reported as missing.
  app.require_subcommand(0, 1);
  try {
    return run(app, argc, argv);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; a smaller --batch needs less", 1);
  } catch (const std::system_error& error) {
    const bool threads = error.code() == std::errc::resource_unavailable_try_again;
    return fail(threads ? "the system starts no more threads; try fewer --threads" : error.what(), 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}
