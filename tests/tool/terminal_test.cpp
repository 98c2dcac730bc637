#include <csignal>
#include <string>

#include "tool/tool.hpp"
#include "vbp/io/calibration_file.hpp"

namespace {

using namespace vbp_test;

/// Enough tokens that 26 images take a while.
constexpr const char* kSlow = "--image-size=192";

/// Runs on a terminal and interrupts the work when it prints `when`, by default after the first image.
Outcome interrupt(const std::vector<std::string>& command, int signal = SIGINT,
                  const char* when = " images/s") {
  Process process(command, {.terminal = true});
  process.wait_for(when);
  process.send(signal);
  return process.wait();
}

}  // namespace

TEST_CASE("progress is for terminals", "[terminal]") {
  const Workplace at;
  const auto shown = [](const auto&... arguments) {
    const Outcome outcome = Process(tool_command(arguments...), {.terminal = true}).wait();
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    // The bar is removed from the screen.
    CHECK(contains(outcome.err, "\r\033[K"));
    CHECK_FALSE(contains(outcome.err.substr(outcome.err.rfind("\r\033[K") + 4), "["));
    return outcome.err;
  };
  CHECK(contains(shown("eval", at.model, "--data", at.data), "evaluating [#######"));
  // Images that cannot be decoded count as done.
  write_text(at.data / "class 1" / "a.png", "no image");
  fs::copy_file(at.data / "class 2" / "jpeg_444.jpg", at.data / "class 5" / "a copy.jpg");
  const std::string calibrating =
      shown("calibrate", at.model, "--data", at.data, "--out", at / "s", "--batch", "1");
  CHECK(contains(calibrating, "\rcalibrating [..............................] 0/28\033[K"));
  CHECK(contains(calibrating, "[##############################] 28/28  "));
  fs::remove(at.data / "class 1" / "a.png");
  fs::remove(at.data / "class 5" / "a copy.jpg");
  fs::rename(at.data / "class 0", at / "calibration");
  const std::string text = shown("prune", at.model, "--calibrate", at / "calibration", "--evaluate", at.data,
                                 "--rate", "0.5", "--out", at / "p");
  for (const char* part : {"calibrating [", "4/4", "refitting [", " steps/s", "evaluating dense [",
                           "evaluating pruned [", "22/22"}) {
    CHECK(contains(text, part));
  }
  // Elsewhere stderr stays empty.
  require_tool("eval", at.model, "--data", at.data);
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "s");
}

TEST_CASE("an interrupted calibration keeps what it has seen, and goes on with the same bits", "[terminal]") {
  const Workplace at;
  const auto command = [&](const fs::path& out) {
    return tool_command("calibrate", at.model, "--data", at.data, "--batch", "1", "--threads", "1", kSlow,
                        "--out", out);
  };
  const Outcome outcome = interrupt(command(at / "stats"));
  CHECK(outcome.code == 130);
  CHECK(contains(outcome.err, "vbp: interrupted; " + (at / "stats").string() + " holds the "));
  CHECK(contains(outcome.err, "--resume goes on from there"));
  const std::size_t seen = vbp::io::Calibration::load(at / "stats").images.size();
  CHECK(seen >= 1);
  CHECK(seen < 26);

  std::vector<std::string> resumed = command(at / "stats");
  resumed.emplace_back("--resume");
  CHECK(Process(resumed).wait().code == 0);
  CHECK(Process(command(at / "whole")).wait().code == 0);
  CHECK(read_text(at / "stats") == read_text(at / "whole"));
}

TEST_CASE("a calibration that is interrupted before it has seen anything writes nothing", "[terminal]") {
  const Workplace at;
  // All images are one batch, which takes long enough to decode. Text behind the end of each copy gives it
  // another content.
  const std::string picture = read_text(kGolden / "images" / "png_rgb.png");
  for (int i = 0; i < 500; ++i)
    write_text(at.data / "class 0" / (std::to_string(i) + ".png"), picture + std::to_string(i));
  write_text(at / "stats", "old");
  const auto before = snapshot(at.folder.path());
  const auto command = tool_command("calibrate", at.model, "--data", at.data, "--batch", "65536", "--threads",
                                    "1", kSlow, "--out", at / "stats");
  // On a busy machine the signal can come too late, after the batch: such a run does not count.
  Outcome outcome = interrupt(command, SIGINT, " 0/526");
  for (int attempt = 0; attempt < 20 && outcome.code == 0; ++attempt) {
    write_text(at / "stats", "old");
    outcome = interrupt(command, SIGINT, " 0/526");
  }
  CHECK(outcome.code == 130);
  CHECK(contains(outcome.err, "vbp: interrupted; nothing was written"));
  CHECK(snapshot(at.folder.path()) == before);
}

TEST_CASE("covariances of several passes are written whole or not at all", "[terminal]") {
  const Workplace at;
  const auto command = [&](auto... options) {
    return tool_command("calibrate", at.model, "--data", at.data, "--covariance", "--batch", "1", "--threads",
                        "1", kSlow, "--out", at / "stats", options...);
  };
  const Outcome begun = interrupt(command());
  REQUIRE(begun.code == 130);
  CHECK(contains(begun.err, "--resume goes on from there"));
  const auto before = snapshot(at.folder.path());
  // The limit holds one of the two blocks of 48 neurons.
  const std::string memory = std::to_string(vbp::Covariance<float>::bytes(48));
  for (const char* when : {" images/s", "calibrating, 2 of 2"}) {
    const Outcome outcome = interrupt(command("--memory", memory, "--resume"), SIGINT, when);
    CHECK(outcome.code == 130);
    CHECK(contains(outcome.err,
                   "vbp: interrupted; nothing was written: with this --memory the covariances "
                   "are gathered in 2 passes over the images"));
    CHECK(snapshot(at.folder.path()) == before);
  }
  CHECK(Process(command("--memory", memory, "--resume")).wait().code == 0);
  const std::string resumed = read_text(at / "stats");
  CHECK(Process(command()).wait().code == 0);
  CHECK(resumed == read_text(at / "stats"));
}

TEST_CASE("an interrupted pruning or evaluation writes nothing", "[terminal]") {
  const Workplace at;
  fs::create_directories(at / "other" / "images");
  fs::copy_file(kGolden / "images" / "png_rgb.png", at / "other" / "images" / "1.png");
  fs::remove(at.data / "class 6" / "png_rgb.png");
  write_text(at / "out", "old");
  write_text(at / "report", "old");
  const auto before = snapshot(at.folder.path());
  const auto command = [&](const auto&... arguments) {
    return tool_command(arguments..., "--batch", "1", "--threads", "1", kSlow, "--json", at / "report");
  };
  for (const int signal : {SIGINT, SIGTERM}) {
    for (const auto& interrupted :
         {interrupt(command("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--out", at / "out"),
                    signal),
          interrupt(command("prune", at.model, "--calibrate", at / "other", "--evaluate", at.data, "--rate",
                            "0.5", "--out", at / "out"),
                    signal),
          interrupt(command("eval", at.model, "--data", at.data), signal)}) {
      CHECK(interrupted.code == 130);
      CHECK(contains(interrupted.err, "vbp: interrupted; nothing was written"));
      CHECK(interrupted.out.empty());
    }
  }
  CHECK(snapshot(at.folder.path()) == before);
}

TEST_CASE("what files hold and are called cannot write to the screen", "[terminal]") {
  const Workplace at;
  // Both sequences clear the screen; the second one is one character in UTF-8.
  const std::string clear = "\033[2J", clear_in_one =
                                           "\xc2\x9b"
                                           "2J";
  RawModel raw(at.model);
  raw.metadata()["architecture"] = "evil" + clear + "\nname" + clear_in_one;
  raw.write(at.model);
  const std::string text = require_tool("info", at.model);
  CHECK(contains(text, ": evil?[2J name?2J\n"));
  CHECK(contains(text, "\narchitecture        evil?[2J name?2J "));

  const fs::path image = at.data / "class 0" / ("new\nline" + clear + ".png"),
                 model = at / ("no\nmodel" + clear);
  write_text(image, "no image");
  const Outcome outcome = run_tool("eval", at.model, "--data", at.data);
  CHECK(outcome.code == 0);
  CHECK(contains(outcome.err, "/new line?[2J.png: neither a JPEG nor a PNG image\n"));
  check_refusal(run_tool("info", model), 1, {"/no model?[2J: cannot be read"});
  const std::string done =
      require_tool("calibrate", at.model, "--data", at.data / "class 1", "--out", at / ("out" + clear));
  CHECK(contains(done, "/out?[2J, "));
}

TEST_CASE("tables are aligned in any script", "[terminal]") {
  const Workplace at;
  RawModel raw(at.model);
  // The sixtieth byte is the first half of a character.
  raw.metadata()["class_names"] = R"(["ää","ääääääääääääääääääääääääääääää","c","d","e","f","g"])";
  raw.metadata()["architecture"] = "猫";
  raw.write(at.model);
  const std::string text = require_tool("info", at.model);
  std::string shown = R"(["ää",")";
  for (int i = 0; i < 25; ++i) shown += "ä";
  CHECK(contains(text, "\nclass_names         " + shown + "...  metadata\n"));
  // The longest value is 35 characters, of 62 bytes.
  CHECK(contains(text, "\narchitecture        猫" + std::string(34 + 2, ' ') + "metadata\n"));
  CHECK(contains(text, "\nblocks.0.attn       attention                 0   13,872\n"));
}
