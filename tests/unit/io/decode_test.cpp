#include "vbp/io/decode.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/ppm.hpp"

namespace {

namespace fs = std::filesystem;
using namespace vbp::io;

const fs::path kImages = fs::path(VBP_TEST_DIR) / "golden" / "images";
const fs::path kCorpus = fs::path(VBP_TEST_DIR) / "fuzz" / "corpus" / "image";

Image decode(const std::string& bytes) {
  return decode_image(std::as_bytes(std::span(bytes)), "test image");
}

std::vector<fs::path> sorted_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

TEST_CASE("every kind of JPEG and PNG gives Pillow's pixels", "[io][images]") {
  int compared = 0;
  for (const fs::path& path : sorted_files(kImages)) {
    if (path.extension() == ".ppm") continue;
    INFO(path.filename().string());
    const Image expected = vbp_test::read_ppm(fs::path(path).replace_extension(".ppm"));
    const Image actual = decode(vbp_test::read_file(path));
    CHECK(actual.width == expected.width);
    CHECK(actual.height == expected.height);
    CHECK(actual.pixels == expected.pixels);
    ++compared;
  }
  CHECK(compared == 26);
}

TEST_CASE("hostile files are refused in one line that names them", "[io][images]") {
  int refused = 0;
  for (const fs::path& path : sorted_files(kCorpus)) {
    INFO(path.filename().string());
    const std::string bytes = vbp_test::read_file(path);
    if (path.filename().string().starts_with("valid_")) {
      const Image image = decode(bytes);
      CHECK(image.pixels.size() == static_cast<std::size_t>(3 * image.width * image.height));
      continue;
    }
    std::string message;
    try {
      decode(bytes);
    } catch (const vbp::FileError& error) {
      message = error.what();
    }
    CHECK(message.starts_with("test image: "));
    CHECK(message.size() > 20);
    CHECK(message.find('\n') == std::string::npos);
    ++refused;
  }
  CHECK(refused > 60);
}

TEST_CASE("a file cut off anywhere is refused", "[io][images]") {
  for (const char* name :
       {"jpeg_420.jpg", "jpeg_progressive.jpg", "png_rgb_interlaced.png", "png_palette4.png"}) {
    const std::string bytes = vbp_test::read_file(kImages / name);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      INFO(name << ", the first " << length << " bytes");
      REQUIRE_THROWS_AS(decode(bytes.substr(0, length)), vbp::FileError);
    }
  }
}

TEST_CASE("a damaged PNG is refused wherever the damage is", "[io][images]") {
  const std::string bytes = vbp_test::read_file(kImages / "png_gray4.png");
  for (std::size_t place = 0; place < bytes.size(); ++place) {
    INFO("byte " << place);
    std::string damaged = bytes;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x10);
    REQUIRE_THROWS_AS(decode(damaged), vbp::FileError);
  }
}

TEST_CASE("the reason is said in words", "[io][images]") {
  const auto reason = [](const char* name) {
    try {
      decode(vbp_test::read_file(kCorpus / name));
    } catch (const vbp::FileError& error) {
      return std::string(error.what()).substr(std::string("test image: ").size());
    }
    return std::string("accepted");
  };
  CHECK(reason("empty.jpg") == "file is empty");
  CHECK(reason("gif.jpg") == "neither a JPEG nor a PNG image");
  CHECK(reason("dimensions_over_limit.jpg") ==
        "image of 65500 x 65500 pixels is larger than the limit of 178956970 pixels");
  CHECK(reason("dimensions_over_limit.png") ==
        "image of 20000 x 20000 pixels is larger than the limit of 178956970 pixels");
  CHECK(reason("dimensions_over_file.jpg").starts_with("truncated: "));
  CHECK(reason("dimensions_over_file.png").starts_with("truncated: "));
  CHECK(reason("frame_two_components.jpg") == "JPEG of 2 components is not supported");
  CHECK(reason("scan_bomb.jpg") == "JPEG has more than 500 scans");
}

}  // namespace
