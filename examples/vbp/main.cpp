/// vbp: prunes trained Vision Transformers, from the command line.

#include <exception>
#include <iostream>
#include <string>
#include <system_error>

#include "common.hpp"

namespace {

/// Errors are one line: what a library put on several is joined.
std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& letter : text) {
    if (letter == '\n' || letter == '\r') letter = ' ';
  }
  return text;
}

int fail(const std::string& reason, int code) {
  std::cerr << "vbp: " << one_line(reason) << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  tool::catch_signals();
  CLI::App app("Variance-Based Pruning of Vision Transformers: smaller and faster on the CPU you have.",
               "vbp");
  app.set_version_flag("--version", "vbp " VBP_VERSION);
  app.require_subcommand(1);
  try {
    tool::add_info(app);
    tool::add_eval(app);
    tool::add_calibrate(app);
    tool::add_merge(app);
    tool::add_prune(app);
    app.parse(argc, argv);
    std::cout.flush();
    return std::cout ? 0 : fail("standard output cannot be written", 1);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return fail(std::string(error.what()) + " (vbp --help lists the options)", 2);
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
