#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

using Arguments = std::vector<std::string>;

/// A workplace with statistics and outputs of an earlier run. A refusal must not change any of them.
struct Refusals : Workplace {
  std::string statistics = (folder / "statistics").string();
  std::string out = (folder / "out").string();
  std::string report = (folder / "report.json").string();

  Refusals() {
    require_tool("calibrate", model, "--data", data, "--out", statistics);
    write_text(out, "the old output");
    write_text(report, "the old report");
    before_ = snapshot(folder.path());
  }

  /// The arguments of a prune that works but for a budget, and more.
  Arguments prune(const Arguments& more) const {
    Arguments arguments{"prune", model.string(), "--statistics", statistics, "--out", out, "--json", report};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  /// Accepts the files that the test has made since.
  void take_as_given() { before_ = snapshot(folder.path()); }

  void check(const Arguments& arguments, int code, std::initializer_list<std::string> parts) const {
    Arguments command{VBP_TOOL};
    command.insert(command.end(), arguments.begin(), arguments.end());
    std::string line;
    for (const std::string& argument : arguments) line += ' ' + argument;
    INFO("vbp" << line);
    check_refusal(Process(command).wait(), code, parts);
    CHECK(snapshot(folder.path()) == before_);
  }

 private:
  std::map<std::string, std::string> before_;
};

}  // namespace

TEST_CASE("a wrong command line is refused with exit code 2", "[refusal]") {
  const Refusals at;
  const std::string model = at.model.string(), data = at.data.string();
  at.check({}, 2, {"a subcommand is required"});
  at.check({"shrink"}, 2, {"shrink"});
  at.check({"info"}, 2, {"MODEL is required"});
  at.check({"info", ""}, 2, {"MODEL: is empty"});
  at.check({"info", model, model}, 2, {model});
  at.check({"info", model, "--heads", "3"}, 2, {"--heads"});
  at.check({"info", model, "--json"}, 2, {"--json"});
  at.check({"info", model, "--json", ""}, 2, {"--json: is empty"});
  at.check({"info", model, "--image-size", "0"}, 2, {"--image-size: \"0\" is no whole number from 1 up"});
  at.check({"info", model, "--image-size", "2.5"}, 2, {"--image-size: \"2.5\""});
  at.check({"eval", model}, 2, {"--data is required"});
  at.check({"eval", model, "--data", ""}, 2, {"--data: is empty"});
  at.check({"eval", model, "--data", data, "--limit", "-3"}, 2, {"--limit: \"-3\""});
  at.check({"eval", model, "--data", data, "--limit", "99999999999999999999"}, 2, {"--limit: \"9999"});
  at.check({"eval", model, "--data", data, "--threads", "0"}, 2, {"--threads: \"0\"", "from 1 to 1024"});
  at.check({"eval", model, "--data", data, "--threads", "1025"}, 2, {"--threads: \"1025\""});
  at.check({"eval", model, "--data", data, "--batch", "65537"}, 2, {"--batch: \"65537\"", "from 1 to 65536"});
  at.check({"calibrate", model, "--data", data}, 2, {"--out is required"});
  at.check({"calibrate", model, "--data", data, "--out", ""}, 2, {"--out: is empty"});
  at.check({"merge", "--out", at.out}, 2, {"STATS is required"});
  at.check({"merge", at.statistics}, 2, {"--out is required"});
  at.check({"prune", model, "--rate", "0.5", "--out", at.out}, 2, {"one of --calibrate and --statistics"});
  at.check(at.prune({"--rate", "0.5", "--calibrate", data}), 2, {"--calibrate", "--statistics"});
  at.check(at.prune({}), 2, {"one of --rate, --keep, --macs, --parameters and --latency"});
  at.check(at.prune({"--rate", ""}), 2, {"--rate: is empty"});
  at.check(at.prune({"--rate", "half"}), 2, {"--rate", "half"});
  at.check(at.prune({"--rate", "0.5", "--rate", "0.6"}), 2, {"--rate"});
  at.check(at.prune({"--rate", "0.5", "--keep", "40"}), 2, {"--keep", "--rate"});
  at.check(at.prune({"--keep", "0"}), 2, {"--keep: \"0\""});
  at.check(at.prune({"--rate", "0.5", "--macs", "0.5"}), 2, {"--macs", "--rate"});
  at.check(at.prune({"--macs", "0.5", "--parameters", "0.5"}), 2, {"--macs", "--parameters"});
  at.check(at.prune({"--latency", "0.5", "--parameters", "0.5"}), 2, {"--latency", "--parameters"});
  at.check(at.prune({"--latency", "0.5", "--scope", "block"}), 2, {"--latency", "--scope"});
  at.check(at.prune({"--latency", ""}), 2, {"--latency: is empty"});
  at.check(at.prune({"--latency", "0.5", "--latency-batch", "0"}), 2, {"--latency-batch: \"0\""});
  at.check(at.prune({"--macs", ""}), 2, {"--macs: is empty"});
  at.check(at.prune({"--parameters", "half"}), 2, {"--parameters", "half"});
  for (const char* option : {"--min-width", "--max-width", "--multiple-of"}) {
    for (const char* number : {"0", "-1", "1e3", "", "99999999999999999999"}) {
      at.check(at.prune({"--rate", "0.5", option, number}), 2, {option + std::string(": \"") + number + '"'});
    }
  }
  at.check(at.prune({"--rate", "0.5", "--method", "magic"}), 2, {"--method", "magic"});
  at.check(at.prune({"--rate", "0.5", "--scope", "layer"}), 2, {"--scope", "layer"});
  at.check(at.prune({"--rate", "0.5", "--exclude", ""}), 2, {"--exclude: is empty"});
  at.check(at.prune({"--rate", "0.5", "--evaluate", ""}), 2, {"--evaluate: is empty"});
  at.check(at.prune({"--rate", "0.5", "--limit", "3"}), 2, {"--limit", "--calibrate"});
  at.check(at.prune({"--rate", "0.5", "--evaluate-limit", "3"}), 2, {"--evaluate-limit", "--evaluate"});
}

TEST_CASE("rates and widths that cannot be are refused", "[refusal]") {
  const Refusals at;
  for (const char* rate : {"nan", "inf", "-inf", "-1", "-0.001", "1", "2", "1e308"}) {
    at.check(at.prune({"--rate", rate}), 1,
             {"vbp: rate " + std::string(rate == std::string("1e308") ? "1e+308" : rate) +
              " is outside [0, 1)\n"});
  }
  for (const char* share : {"nan", "inf", "-0.5", "0", "1.5"}) {
    for (const char* option : {"--macs", "--parameters"}) {
      at.check(at.prune({option, share}), 1,
               {"vbp: " + std::string(option) + " " + share + " is outside (0, 1]\n"});
    }
  }
  for (const char* latency : {"half", "nan", "inf", "-0.5", "0", "1.5", "ms", "0ms", "-3ms", "3 ms", "3s"}) {
    at.check(at.prune({"--latency", latency}), 1,
             {"vbp: --latency " + std::string(latency) + " is neither a share in (0, 1]"});
  }
  // A neuron of the 64 that can go takes 49 parameters and 17 * 48 MACs.
  at.check(at.prune({"--macs", "0.5"}), 1,
           {"cannot keep as little as 0.5 of the MACs", "minimum width 16", "150792 of 203016 stay"});
  at.check(at.prune({"--parameters", "0.01"}), 1, {"cannot keep as little as 0.01 of the parameters"});
  at.check({"prune", at.model.string(), "--calibrate", at.data.string(), "--macs", "0.5", "--out", at.out}, 1,
           {"cannot keep as little as 0.5 of the MACs"});
  at.check(at.prune({"--rate", "0.5", "--min-width", "49"}), 1, {"minimum width 49", "at most 0 can go"});
  at.check(at.prune({"--rate", "0.5", "--min-width", "9223372036854775807"}), 1, {"at most 0 can go"});
  at.check(at.prune({"--rate", "0.9"}), 1,
           {"cannot remove 86 of 96", "minimum width 16", "at most 64 can go"});
  at.check(at.prune({"--rate", "0.5", "--max-width", "15"}), 1, {"maximum width 15", "minimum width 16"});
  at.check(at.prune({"--rate", "0.1", "--max-width", "40"}), 1, {"maximum width 40", "at least 16 must go"});
  at.check(at.prune({"--keep", "97"}), 1, {"cannot keep 97 of 96"});
  at.check(at.prune({"--rate", "0.5", "--exclude", "blocks.2"}), 1,
           {"no block is named blocks.2; there are blocks.0, blocks.1"});
  at.check(at.prune({"--rate", "0.5", "--exclude", "blocks.0"}), 1,
           {"the excluded blocks", "at most 32 can go"});
}

TEST_CASE("settings that make no sense are refused", "[refusal]") {
  const Refusals at;
  const std::string model = at.model.string();
  const auto check = [&](const std::string& setting, std::initializer_list<std::string> parts) {
    at.check({"info", model, "--set", setting, "--json", at.report}, 1, parts);
  };
  check("nonsense", {"--set takes KEY=VALUE, not \"nonsense\""});
  check("=3", {"--set takes KEY=VALUE, not \"=3\""});
  check("nonsense=3", {"unknown option \"nonsense\"", "num_heads"});
  check("num_heads=", {"num_heads", "\"\""});
  check("num_heads=7", {"num_heads", "\"7\" heads do not divide a width of 24"});
  check("num_heads=0", {"num_heads"});
  check("num_heads=-2", {"num_heads", "not a whole number"});
  check("num_heads=two", {"num_heads", "\"two\""});
  check("layer_norm_eps=0", {"layer_norm_eps"});
  check("layer_norm_eps=1e999", {"layer_norm_eps"});
  check("mean=nan", {"mean", "\"nan\""});
  check("std=0,0,0", {"std", "not positive"});
  check("std=1,2", {"std"});
  check("crop_pct=2", {"crop_pct"});
  check("activation=relu", {"activation", "\"relu\""});
  check("dim=32", {model + ": dim is \"32\" (option)", "24"});
  check("image_size=17", {"image_size", "no positive multiple of the patch size 4"});
  at.check({"info", model, "--image-size", "17"}, 1,
           {"image_size", "no positive multiple of the patch size 4"});
  // A size with some digits too many allocates nothing.
  at.check({"info", model, "--image-size", "1000000"}, 1, {"image_size", "256 patches on a side"});
  at.check({"info", model, "--set", "num_heads=2", "--set", "num_heads=3"}, 1, {"num_heads is set twice"});
  at.check({"info", model, "--set", "image_size=24", "--image-size", "32"}, 1, {"image_size is set twice"});
}

TEST_CASE("options that may be repeated take one value at a time", "[refusal]") {
  Refusals at;
  // Neither option takes the model for a second value.
  require_tool("info", "--set", "num_heads=3", at.model);
  require_tool("prune", "--exclude", "blocks.0", at.model, "--statistics", at.statistics, "--rate", "0.1",
               "--out", at.out);
}

TEST_CASE("what is no model is refused by every subcommand", "[refusal]") {
  Refusals at;
  const std::string bytes = read_text(at.model);
  std::vector<std::pair<std::string, std::string>> files{
      {(at / "missing").string(), "cannot be read: No such file or directory"},
      {at.data.string(), "is a folder, not a file"},
      {"/dev/null", "is not a regular file"},
      {at.statistics, "holds no model of a known family"}};
  const auto add = [&](const std::string& name, const std::string& reason) {
    files.emplace_back((at / name).string(), reason);
    return at / name;
  };
  REQUIRE(::mkfifo(add("pipe", "is not a regular file").c_str(), 0600) == 0);
  fs::create_symlink("circle", add("circle", "cannot be read: Too many levels of symbolic links"));
  write_text(add("empty", "too short"), "");
  write_text(add("words", "no safetensors file"), "This is no model, whatever its name says.\n");
  write_text(add("cut header", "no safetensors file"), bytes.substr(0, 500));
  write_text(add("cut data", "its data ends at byte"), bytes.substr(0, bytes.size() - 1));
  write_text(add("more", "1 bytes behind the last tensor belong to none"), bytes + "x");
  write_text(add("endless header", "a header of 18446744073709551615 bytes"),
             std::string(8, '\xff') + bytes.substr(8));
  const auto alter = [&](const std::string& name, const std::string& reason, auto&& change) {
    RawModel raw(at.model);
    change(raw);
    raw.write(add(name, reason));
  };
  const std::string fc1 = "blocks.1.mlp.fc1.weight";
  alter("nan", "the tensor " + fc1 + " holds NaN or infinite values", [&](RawModel& raw) {
    std::vector<float> values = raw.values(fc1);
    values[100] = std::numeric_limits<float>::quiet_NaN();
    raw.set_values(fc1, values);
  });
  alter("infinite", "holds NaN or infinite values",
        [&](RawModel& raw) { raw.fill("head.bias", std::numeric_limits<float>::infinity()); });
  alter("transposed", "the tensor " + fc1 + " has the shape [24,48], not [24,24]", [&](RawModel& raw) {
    raw.header[fc1]["shape"] = {24, 48};
  });
  alter("flat", "the tensor " + fc1 + " has the shape [1152]",
        [&](RawModel& raw) { raw.header[fc1]["shape"] = {48 * 24}; });
  alter("integers", "is of type I32, not floating point",
        [&](RawModel& raw) { raw.header["norm.weight"]["dtype"] = "I32"; });
  alter("overlapping", "its data overlaps another tensor's", [&](RawModel& raw) {
    raw.header["blocks.1.norm2.bias"]["data_offsets"] = raw.header["blocks.1.norm1.bias"]["data_offsets"];
  });
  alter("incomplete", "the tensor blocks.1.norm1.weight is missing", [&](RawModel& raw) {
    raw.header["mask_token"] = raw.header["blocks.1.norm1.weight"];
    raw.header.erase("blocks.1.norm1.weight");
  });
  alter("another architecture", "none of patch_embed.proj.weight (Vision Transformer, timm)",
        [&](RawModel& raw) {
          raw.header["stem.conv.weight"] = raw.header["patch_embed.proj.weight"];
          raw.header.erase("patch_embed.proj.weight");
        });
  alter("gated", "gated MLP (SwiGLU), which is not supported", [&](RawModel& raw) {
    raw.header["blocks.0.mlp.w12.weight"] = raw.header[fc1];
    raw.header.erase(fc1);
  });
  alter("heads", "num_heads in the metadata: \"7\" heads do not divide a width of 24",
        [](RawModel& raw) { raw.metadata()["num_heads"] = "7"; });
  alter("size", "image_size is \"20\" (metadata), but pos_embed has 17 rows",
        [](RawModel& raw) { raw.metadata()["image_size"] = "20"; });
  alter("classes", "there are 1 class_names (metadata) for 7 classes",
        [](RawModel& raw) { raw.metadata()["class_names"] = R"(["one"])"; });
  at.take_as_given();
  for (const auto& [path, reason] : files) {
    at.check({"info", path, "--json", at.report}, 1, {path + ": ", reason});
    at.check({"eval", path, "--data", at.data.string(), "--json", at.report}, 1, {path + ": ", reason});
    at.check({"calibrate", path, "--data", at.data.string(), "--out", at.out}, 1, {path + ": ", reason});
    at.check({"prune", path, "--statistics", at.statistics, "--rate", "0.5", "--out", at.out}, 1,
             {path + ": ", reason});
  }
}

TEST_CASE("configuration files that contradict the weights are refused", "[refusal]") {
  Refusals at;
  const fs::path folder = at / "hf", config = folder / "config.json",
                 images = folder / "preprocessor_config.json";
  fs::copy(kGolden / "hf" / "vit", folder);
  const std::string model = (folder / "model.safetensors").string();
  const auto check = [&](const fs::path& file, const json& change, const fs::path& blamed,
                         const std::string& reason) {
    const std::string text = read_text(file);
    json changed = json::parse(text);
    changed.update(change);
    INFO(change.dump());
    write_text(file, changed.dump());
    at.take_as_given();
    at.check({"info", model, "--json", at.report}, 1, {blamed.string() + ": ", reason});
    at.check({"calibrate", model, "--data", at.data.string(), "--out", at.out}, 1,
             {blamed.string() + ": ", reason});
    write_text(file, text);
  };
  check(config, {{"hidden_size", 32}}, model, "dim is \"32\" (config.json)");
  check(config, {{"num_attention_heads", 5}}, config, "\"5\" heads do not divide a width of 24");
  check(config, {{"num_attention_heads", "two"}}, config, "num_heads");
  check(config, {{"num_hidden_layers", 12}}, model, "depth is \"12\" (config.json)");
  check(config, {{"intermediate_size", 96}}, model, "hidden_widths is \"96\" (config.json)");
  check(config, {{"image_size", 224}}, model, "image_size is \"224\" (config.json)");
  check(config, {{"layer_norm_eps", 2}}, config, "layer_norm_eps");
  check(config, {{"hidden_act", "relu"}}, config, "\"relu\" is not supported");
  check(config, {{"id2label", {{"0", "cat"}}}}, model, "num_classes is \"1\" (config.json)");
  check(images, {{"image_std", {0.5, 0.0, 0.5}}}, images, "not positive");
  check(images, {{"size", {{"height", 16}, {"width", 32}}}}, images, "size names no square");
  check(images, {{"resample", 17}}, images, "interpolation");
  for (const char* text : {"", "{", "[]", "null"}) {
    write_text(config, text);
    at.take_as_given();
    at.check({"info", model}, 1, {config.string() + ": is no JSON object"});
  }
}

TEST_CASE("a model whose numbers overflow is named", "[refusal]") {
  Refusals at;
  // Each weight is finite but their sums are not.
  RawModel raw(at.model);
  raw.fill("blocks.1.mlp.fc1.weight", 3e38F);
  raw.write(at.model);
  at.take_as_given();
  const std::string model = at.model.string(), data = at.data.string();
  at.check({"calibrate", model, "--data", data, "--out", at.out}, 1,
           {model + ": blocks.1: feature 0 of sample "});
  at.check({"prune", model, "--calibrate", data, "--rate", "0.5", "--out", at.out}, 1,
           {model + ": blocks.1: "});
  at.check({"eval", model, "--data", data, "--json", at.report}, 1,
           {model + ": its output for ", "is not finite"});
}

TEST_CASE("what is no calibration of the model is refused", "[refusal]") {
  Refusals at;
  RawModel raw(at.model);
  raw.fill("norm.bias", 0.125F);
  raw.write(at / "other.safetensors");
  const std::string other = (at / "other.stats").string(), cut = (at / "cut.stats").string();
  const std::string cropped = (at / "cropped.stats").string();
  require_tool("calibrate", at / "other.safetensors", "--data", at.data, "--out", other);
  require_tool("calibrate", at.model, "--data", at.data, "--set", "crop_pct=1", "--out", cropped);
  const std::string bytes = read_text(at.statistics);
  write_text(cut, bytes.substr(0, bytes.size() - 1));
  at.take_as_given();
  for (const auto& [path, reason] :
       {std::pair(other, std::string("holds the statistics of another model")),
        std::pair(cropped, std::string("was made with another preprocessing")),
        std::pair(cut, std::string("its data")),
        std::pair(at.model.string(), std::string("is not a calibration file of vbp")),
        std::pair(at.data.string(), std::string("is a folder, not a file")),
        std::pair((at / "missing").string(), std::string("cannot be read: No such file"))}) {
    at.check({"prune", at.model.string(), "--statistics", path, "--rate", "0.5", "--out", at.out}, 1,
             {path + ": ", reason});
  }
  at.check({"merge", at.statistics, cut, "--out", at.out}, 1, {cut + ": "});
}

TEST_CASE("folders without images are refused", "[refusal]") {
  Refusals at;
  const std::string model = at.model.string(), empty = (at / "empty").string(), file = (at / "file").string();
  const std::string missing = (at / "missing").string(), hollow = (at / "hollow").string();
  fs::create_directory(empty);
  for (int label = 0; label < 7; ++label)
    fs::create_directories(fs::path(hollow) / ("class " + std::to_string(label)));
  write_text(fs::path(hollow) / "class 0" / "notes.txt", "no image");
  write_text(file, "no folder");
  fs::rename(at.data / "class 6", at / "calibration");
  at.take_as_given();
  for (const auto& [folder, reason] :
       {std::pair(empty, std::string("no ")), std::pair(hollow, std::string("no images")),
        std::pair(file, std::string("not a folder")), std::pair(missing, std::string("no such folder"))}) {
    at.check({"eval", model, "--data", folder, "--json", at.report}, 1, {folder + ": ", reason});
    at.check({"calibrate", model, "--data", folder, "--out", at.out}, 1, {folder + ": ", reason});
    at.check({"prune", model, "--calibrate", folder, "--rate", "0.5", "--out", at.out}, 1,
             {folder + ": ", reason});
    at.check(at.prune({"--rate", "0.5", "--evaluate", folder}), 1, {folder + ": ", reason});
  }
  // A model without a head has no top-1.
  RawModel raw(at.model);
  for (const char* name : {"head.weight", "head.bias"}) {
    raw.replace(name, {0}, {});
    raw.header.erase(name);
  }
  for (const char* key : {"num_classes", "class_names"}) raw.metadata().erase(key);
  const std::string headless = raw.write(at / "headless.safetensors").string();
  at.take_as_given();
  at.check({"eval", headless, "--data", at.data.string()}, 1, {headless + ": has no classification head"});
}

TEST_CASE("files that may not be read are refused", "[refusal]") {
  if (::geteuid() == 0) {
    WARN("skipped: permissions do not bind the superuser");
    return;
  }
  Refusals at;
  const fs::path copy = at / "copy.safetensors", folder = at.data / "class 3",
                 image = at.data / "class 0" / "a.png";
  fs::copy_file(at.model, copy);
  fs::copy_file(kGolden / "images" / "png_rgb.png", image);
  fs::permissions(copy, fs::perms::none);
  check_refusal(run_tool("info", copy), 1, {copy.string() + ": cannot be read: Permission denied"});
  fs::permissions(image, fs::perms::none);
  const Outcome outcome = run_tool("eval", at.model, "--data", at.data);
  CHECK(outcome.code == 0);
  CHECK(outcome.err == "vbp: left out: " + image.string() + ": cannot be read: Permission denied\n");
  fs::permissions(folder, fs::perms::none);
  check_refusal(run_tool("eval", at.model, "--data", at.data), 1,
                {folder.string() + ": cannot read folder: "});
  fs::permissions(folder, fs::perms::owner_all);
}

TEST_CASE("images of which none can be decoded are refused", "[refusal]") {
  Refusals at;
  fs::remove_all(at.data);
  for (int label = 0; label < 7; ++label)
    fs::create_directories(at.data / ("class " + std::to_string(label)));
  const std::string first = (at.data / "class 2" / "a.png").string(), data = at.data.string();
  write_text(first, "no image");
  write_text(at.data / "class 3" / "b.png", "no image");
  at.take_as_given();
  const std::string model = at.model.string();
  const auto parts = {first + ": neither a JPEG nor a PNG image", std::string("none of the 2 images")};
  at.check({"eval", model, "--data", data, "--json", at.report}, 1, parts);
  at.check({"calibrate", model, "--data", data, "--out", at.out, "--json", at.report}, 1, parts);
  at.check({"prune", model, "--calibrate", data, "--rate", "0.5", "--out", at.out}, 1, parts);
  at.check(at.prune({"--rate", "0.5", "--evaluate", data}), 1, parts);
}

TEST_CASE("files that cannot be written are refused before any work", "[refusal]") {
  Refusals at;
  const std::string model = at.model.string(), missing = (at / "missing").string();
  const std::string folder = (at / "a folder").string(), pipe = (at / "pipe").string();
  const std::string new_file = (at / "new").string();
  fs::create_directory(folder);
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  at.take_as_given();
  std::vector<std::pair<std::string, std::string>> bad{
      {missing + "/out", "its folder does not exist"},
      {model + "/out", "its folder does not exist"},
      {folder, "is a folder"},
      {folder + "/", "is not the name of a file"},
      {pipe, "is not a regular file"},
      {"/dev/full", "is not a regular file"},
      {(at / std::string(256, 'n')).string(), "File name too long"}};
  if (::geteuid() == 0) {
    WARN("skipped in part: permissions do not bind the superuser");
  } else {
    const fs::path locked = at / "locked";
    fs::create_directory(locked);
    write_text(locked / "own", "old");
    at.take_as_given();
    fs::permissions(locked / "own", fs::perms::owner_read);
    fs::permissions(locked, fs::perms::owner_read | fs::perms::owner_exec);
    bad.emplace_back((locked / "new").string(), "Permission denied");
    bad.emplace_back((locked / "own").string(), "Permission denied");
  }
  for (const auto& [path, reason] : bad) {
    // The data do not exist: the outputs are checked first.
    at.check({"calibrate", model, "--data", missing, "--out", path}, 1, {path + ": ", reason});
    at.check({"calibrate", model, "--data", missing, "--out", new_file, "--json", path}, 1,
             {path + ": ", reason});
    at.check({"eval", model, "--data", missing, "--json", path}, 1, {path + ": ", reason});
    at.check({"info", missing, "--json", path}, 1, {path + ": ", reason});
    at.check({"bench", missing, "--json", path}, 1, {path + ": ", reason});
    at.check({"merge", missing, "--out", path}, 1, {path + ": ", reason});
    at.check({"merge", missing, "--out", new_file, "--json", path}, 1, {path + ": ", reason});
    at.check({"prune", missing, "--calibrate", missing, "--rate", "0.5", "--out", path}, 1,
             {path + ": ", reason});
    at.check({"prune", missing, "--calibrate", missing, "--rate", "0.5", "--out", new_file, "--json", path},
             1, {path + ": ", reason});
  }
  if (fs::exists(at / "locked")) fs::permissions(at / "locked", fs::perms::owner_all);
}

TEST_CASE("no file that is read is overwritten", "[refusal]") {
  Refusals at;
  fs::copy_file(kGolden / "hf" / "vit" / "config.json", at / "config.json");
  fs::copy_file(kGolden / "hf" / "vit" / "preprocessor_config.json", at / "preprocessor_config.json");
  fs::create_symlink(at.model, at / "link");
  fs::create_hard_link(at.model, at / "twin");
  fs::rename(at.data / "class 6", at / "calibration");
  at.take_as_given();
  const std::string model = at.model.string(), data = at.data.string(),
                    calibration = (at / "calibration").string();
  const std::string image = (at.data / "class 0" / "jpeg_420.jpg").string();
  const std::string calibration_image = (at / "calibration" / "png_rgb.png").string();
  const std::string other_name = (at.data / ".." / "model.safetensors").string();
  for (const std::string& path :
       {model, other_name, (at / "link").string(), (at / "twin").string(), (at / "config.json").string(),
        (at / "preprocessor_config.json").string()}) {
    const auto parts = {path + ": would overwrite ", std::string(", which is read")};
    at.check({"info", model, "--json", path}, 1, parts);
    at.check({"bench", model, "--repeat", "1", "--json", path}, 1, parts);
    at.check({"eval", model, "--data", data, "--json", path}, 1, parts);
    at.check({"calibrate", model, "--data", data, "--out", path}, 1, parts);
    at.check({"calibrate", model, "--data", data, "--out", at.out, "--json", path}, 1, parts);
    at.check({"prune", model, "--statistics", at.statistics, "--rate", "0.5", "--out", path}, 1, parts);
    at.check(
        {"prune", model, "--statistics", at.statistics, "--rate", "0.5", "--out", at.out, "--json", path}, 1,
        parts);
  }
  at.check({"eval", model, "--data", data, "--json", image}, 1, {image + ": would overwrite "});
  at.check({"calibrate", model, "--data", data, "--out", image}, 1, {image + ": would overwrite "});
  at.check({"calibrate", model, "--data", data, "--out", at.out, "--json", image}, 1,
           {image + ": would overwrite "});
  for (const std::string& path : {image, calibration_image}) {
    at.check({"prune", model, "--calibrate", calibration, "--evaluate", data, "--rate", "0.5", "--out", path},
             1, {path + ": would overwrite "});
  }
  at.check({"prune", model, "--statistics", at.statistics, "--rate", "0.5", "--out", at.statistics}, 1,
           {at.statistics + ": would overwrite "});
  at.check({"prune", model, "--statistics", at.statistics, "--rate", "0.5", "--out", at.out, "--json",
            at.statistics},
           1, {at.statistics + ": would overwrite "});
  at.check({"merge", at.statistics, "--out", at.statistics}, 1, {at.statistics + ": would overwrite "});
  at.check({"merge", at.statistics, "--out", at.out, "--json", at.statistics}, 1,
           {at.statistics + ": would overwrite "});

  // Two outputs must not have the same name, whether it exists or not.
  for (const std::string& path : {at.out, (at / "new").string()}) {
    const std::string same = (at.data / ".." / fs::path(path).filename()).string();
    const std::string reason = "cannot be the file of both --out and --json";
    at.check({"calibrate", model, "--data", data, "--out", path, "--json", same}, 1, {same + ": " + reason});
    at.check({"merge", at.statistics, "--out", path, "--json", path}, 1, {path + ": " + reason});
    at.check({"prune", model, "--statistics", at.statistics, "--rate", "0.5", "--out", path, "--json", path},
             1, {path + ": " + reason});
  }
}

TEST_CASE("a full disk leaves the old files, all of them", "[refusal]") {
  Refusals at;
  // So many broken images make the report larger than the other output.
  for (int i = 0; i < 400; ++i) {
    write_text(at.data / "class 0" / (std::string(120, 'x') + std::to_string(i) + ".png"), "no image");
  }
  at.take_as_given();
  const auto check = [&](const Arguments& arguments, rlim_t bytes, const std::string& file) {
    const auto before = snapshot(at.folder.path());
    Arguments command{VBP_TOOL};
    command.insert(command.end(), arguments.begin(), arguments.end());
    // On a terminal, because a file for stderr would have the limit too.
    const Outcome outcome = Process(command, {.terminal = true, .file_bytes = bytes}).wait();
    CHECK(outcome.code == 1);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.ends_with("vbp: " + file + ": cannot be written: File too large\r\n"));
    CHECK(snapshot(at.folder.path()) == before);
  };
  const std::string model = at.model.string(), data = at.data.string();
  const Arguments calibrate{"calibrate", model, "--data", data, "--out", at.out, "--json", at.report};
  const Arguments merge{"merge", at.statistics, "--out", at.out, "--json", at.report};
  const Arguments prune{"prune", model,   "--calibrate", data,     "--rate",
                        "0.5",   "--out", at.out,        "--json", at.report};
  for (const Arguments& arguments : {calibrate, merge, prune}) check(arguments, 1000, at.out);
  // The pruned model takes 40,012 bytes.
  for (const Arguments& arguments : {calibrate, prune}) check(arguments, 41000, at.report);
  check({"eval", model, "--data", data, "--json", at.report}, 41000, at.report);
}

TEST_CASE("output that cannot be shown is an error", "[refusal]") {
  if (!fs::exists("/dev/full")) {
    WARN("skipped: there is no /dev/full");
    return;
  }
  const Workplace at;
  for (const auto& command : {tool_command("info", at.model), tool_command("--help"),
                              tool_command("--version"), tool_command("eval", at.model, "--data", at.data)}) {
    check_refusal(Process(command, {.out = "/dev/full"}).wait(), 1, {"standard output cannot be written"});
  }
}

TEST_CASE("more threads than the system starts are refused", "[refusal]") {
  const Workplace at;
  // The stacks of a thousand threads do not fit into this. Sanitizers reserve terabytes.
  constexpr rlim_t memory = rlim_t{400} << 20;
  if (Process(tool_command("--version"), {.memory_bytes = memory}).wait().code != 0) {
    WARN("skipped: the tool does not start within 400 MB of address space");
    return;
  }
  const auto command = tool_command("eval", at.model, "--data", at.data, "--threads", "1000");
  check_refusal(Process(command, {.memory_bytes = memory}).wait(), 1,
                {"starts no more threads", "--threads"});
}
