/// vbp: prunes trained Vision Transformers, Swin Transformers and ConvNeXts, from the command line.

#include <exception>
#include <iostream>
#include <string>
#include <system_error>

#include "common.hpp"

namespace {

int fail(const std::string& reason, int code) {
  std::cerr << "vbp: " << tool::printable(reason) << '\n';
  return code;
}

/// The exit code of a program that has said all.
int end_of_output() {
  std::cout.flush();
  return std::cout ? 0 : fail("standard output cannot be written", 1);
}

constexpr const char* kHint = " (--help says more)";

}  // namespace

int main(int argc, char** argv) {
  tool::set_signals();
  CLI::App app("Variance-Based Pruning of ViTs, Swins and ConvNeXts: smaller and faster on the CPU you have.",
               "vbp");
  app.set_version_flag("--version", "vbp " VBP_VERSION);
  // Not one as the least: a misspelt one would be said to be missing.
  app.require_subcommand(0, 1);
  try {
    tool::add_info(app);
    tool::add_eval(app);
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
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) throw tool::UsageError("a subcommand is required");
    return end_of_output();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return fail(error.what() + std::string(kHint), 2);
    app.exit(error);  // prints the help or the version
    return end_of_output();
  } catch (const tool::UsageError& error) {
    return fail(error.what() + std::string(kHint), 2);
  } catch (const tool::Interrupted& error) {
    return fail(error.what(), 130);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; a smaller --batch needs less", 1);
  } catch (const std::system_error& error) {
    const bool threads = error.code() == std::errc::resource_unavailable_try_again;
    return fail(threads ? "the system starts no more threads; try fewer --threads" : error.what(), 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}
