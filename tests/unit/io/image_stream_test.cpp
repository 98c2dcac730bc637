#include "vbp/io/image_stream.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/ppm.hpp"
#include "support/shared.hpp"
#include "vbp/io/decode.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::Matrix;
using namespace vbp::io;

const fs::path kStreamed = fs::path(VBP_TEST_DIR) / "golden" / "images";
const fs::path kBrokenImages = fs::path(VBP_TEST_DIR) / "fuzz" / "corpus" / "image";
const Preprocessing kSmall{.image_size = 8};

/// The golden images four times over, each with its place as label; every third one, from the second on, is
/// broken.
std::vector<ImageEntry> some_broken() {
  std::vector<ImageEntry> entries;
  const auto good = find_images(kStreamed);
  for (int round = 0; round < 4; ++round) {
    for (const ImageEntry& entry : good) {
      const auto place = static_cast<Index>(entries.size());
      entries.push_back({place % 3 == 1 ? kBrokenImages / "truncated_in_scan.jpg" : entry.path, place, ""});
    }
  }
  return entries;
}

struct Read {
  std::vector<Index> sizes;
  std::vector<Index> labels;
  std::vector<Hash128> hashes;
  std::vector<fs::path> paths;
  std::vector<float> pixels;
};

Read read_all(ImageStream& stream) {
  Read all;
  ImageBatch batch;
  while (stream.next(batch)) {
    all.sizes.push_back(batch.size());
    all.labels.insert(all.labels.end(), batch.labels.begin(), batch.labels.end());
    all.hashes.insert(all.hashes.end(), batch.hashes.begin(), batch.hashes.end());
    all.paths.insert(all.paths.end(), batch.paths.begin(), batch.paths.end());
    all.pixels.insert(all.pixels.end(), batch.pixels.data(), batch.pixels.data() + batch.pixels.size());
    CHECK(batch.pixels.rows() == batch.size());
    CHECK(batch.labels.size() == batch.paths.size());
    CHECK(batch.hashes.size() == batch.paths.size());
  }
  CHECK(batch.size() == 0);
  CHECK(batch.pixels.rows() == 0);
  CHECK_FALSE(stream.next(batch));
  return all;
}

TEST_CASE("a stream gives the images in order, whatever the threads, and passes over broken ones",
          "[io][images]") {
  const auto entries = some_broken();
  REQUIRE(entries.size() == 104);
  for (const int threads : {1, 2, 3, 7}) {
    for (const Index ahead : {0, 1, 3}) {
      INFO(threads << " threads, " << ahead << " batches ahead");
      ImageStream stream(entries, kSmall, {.batch = 10, .ahead = ahead}, vbp::Context(threads));
      const Read all = read_all(stream);
      // 69 good ones of 104: filled up, so that only the last batch is short.
      CHECK(all.sizes == std::vector<Index>{10, 10, 10, 10, 10, 10, 9});
      REQUIRE(all.labels.size() == 69);
      REQUIRE(stream.failures().size() == 35);
      std::size_t good = 0;
      for (const ImageEntry& entry : entries) {
        if (entry.label % 3 == 1) continue;
        const std::string bytes = vbp_test::read_file(entry.path);
        const auto view = std::as_bytes(std::span(bytes));
        std::vector<float> expected(192);
        evaluation_transform(decode_image(view, "image"), kSmall, expected);
        REQUIRE(all.labels[good] == entry.label);
        REQUIRE(all.paths[good] == entry.path);
        REQUIRE(all.hashes[good] == hash_bytes(view));
        REQUIRE(std::equal(expected.begin(), expected.end(),
                           all.pixels.begin() + static_cast<std::ptrdiff_t>(good * 192)));
        ++good;
      }
    }
  }
}

TEST_CASE("another transform sees each image with its place, and the position counts broken ones",
          "[io][images]") {
  const auto entries = some_broken();
  const auto transform = [](const Image& image, std::size_t index, std::span<float> out) {
    std::fill(out.begin(), out.end(), static_cast<float>(index));
    out[0] = static_cast<float>(image.width);
  };
  ImageStream stream(entries, kSmall, transform, {.batch = 10}, vbp::Context(3));
  ImageBatch batch;
  std::size_t position = 0;
  while (stream.next(batch)) {
    for (Index row = 0; row < batch.size(); ++row) {
      const Index place = batch.labels[static_cast<std::size_t>(row)];
      CHECK(batch.pixels(row, 1) == static_cast<float>(place));
      CHECK(batch.pixels(row, 191) == static_cast<float>(place));
      CHECK(batch.pixels(row, 0) > 0.0F);
    }
    // Every third place, from the second on, is left out.
    const std::size_t last = static_cast<std::size_t>(batch.labels.back());
    CHECK(stream.position() > position);
    position = stream.position();
    CHECK(position >= last + 1);
    CHECK(position <= last + 2);
  }
  CHECK(position == entries.size());
}

TEST_CASE("a failure is recorded with its path and reason", "[io][images]") {
  const fs::path missing = kStreamed / "missing.jpg";
  ImageStream stream(
      {{missing, 3, ""}, {kBrokenImages / "empty.jpg", 4, ""}, {kStreamed / "png_gray.png", 5, ""}}, kSmall);
  ImageBatch batch;
  REQUIRE(stream.next(batch));
  CHECK(batch.labels == std::vector<Index>{5});
  CHECK_FALSE(stream.next(batch));
  REQUIRE(stream.failures().size() == 2);
  CHECK(stream.failures()[0].path == missing);
  CHECK_FALSE(stream.failures()[0].reason.empty());
  CHECK(stream.failures()[0].reason.find(missing.string()) == std::string::npos);
  CHECK(stream.failures()[1].reason == "file is empty");
}

TEST_CASE("a strict stream ends with the first failure in order", "[io][images]") {
  std::vector<ImageEntry> entries = find_images(kStreamed);
  entries[13].path = kBrokenImages / "gif.jpg";
  entries[20].path = kBrokenImages / "empty.jpg";
  for (const int threads : {1, 4}) {
    ImageStream stream(entries, kSmall, {.batch = 6, .strict = true}, vbp::Context(threads));
    ImageBatch batch;
    CHECK(stream.next(batch));
    CHECK(stream.next(batch));
    CHECK_THROWS_WITH(stream.next(batch), Catch::Contains("gif.jpg: neither a JPEG nor a PNG image"));
    CHECK_FALSE(stream.next(batch));
  }
}

TEST_CASE("a stream can be left at any time", "[io][images]") {
  const auto entries = some_broken();
  for (int batches = 0; batches < 4; ++batches) {
    ImageStream stream(entries, kSmall, {.batch = 5, .ahead = 4}, vbp::Context(3));
    ImageBatch batch;
    for (int i = 0; i < batches; ++i) CHECK(stream.next(batch));
  }
}

TEST_CASE("a stream of nothing, of nothing good, and of less than a batch", "[io][images]") {
  ImageBatch batch;
  ImageStream none({}, kSmall);
  CHECK_FALSE(none.next(batch));
  ImageStream broken({{kBrokenImages / "empty.jpg", 0, ""}}, kSmall);
  CHECK_FALSE(broken.next(batch));
  CHECK(broken.failures().size() == 1);
  ImageStream few(find_images(kStreamed), kSmall, {.batch = 1'000'000'000'000}, vbp::Context(2));
  REQUIRE(few.next(batch));
  CHECK(batch.size() == 26);
}

TEST_CASE("options out of range are refused", "[io][images]") {
  CHECK_THROWS_AS(ImageStream({}, kSmall, {.batch = 0}), vbp::ValueError);
  CHECK_THROWS_AS(ImageStream({}, kSmall, {.ahead = -1}), vbp::ValueError);
  CHECK_THROWS_AS(ImageStream({}, Preprocessing{.image_size = 0}), vbp::ValueError);
}

/// The float32 tensors of a safetensors file, read without the library.
struct Tensors {
  std::string bytes;
  nlohmann::json header;

  explicit Tensors(const fs::path& path) : bytes(vbp_test::read_file(path)) {
    header = nlohmann::json::parse(bytes.substr(8, header_size()));
  }
  std::size_t header_size() const {
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), 8);
    return size;
  }
  std::vector<float> operator[](const std::string& name) const {
    const auto offsets = header.at(name).at("data_offsets").get<std::vector<std::size_t>>();
    std::vector<float> values((offsets[1] - offsets[0]) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + 8 + header_size() + offsets[0], offsets[1] - offsets[0]);
    return values;
  }
};

/// Largest and mean difference of two inputs [3, size, size] before normalisation, in levels of 8 bits.
void check_levels(const float* actual, const std::vector<float>& expected,
                  const Preprocessing& preprocessing) {
  double largest = 0.0;
  double sum = 0.0;
  const std::size_t plane = expected.size() / 3;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference =
        std::abs(double{actual[i]} - expected[i]) * preprocessing.std[i / plane] * 255.0;
    largest = std::max(largest, difference);
    sum += difference;
  }
  CHECK(largest < 0.01);
  CHECK(sum / static_cast<double>(expected.size()) < 0.001);
}

TEST_CASE("ImageNet photographs become timm's inputs", "[io][images][shared]") {
  VBP_REQUIRE_SHARED(shared);
  const Tensors reference(shared / "reference" / "preprocess_224.safetensors");
  std::vector<ImageEntry> entries;
  for (const auto& [name, tensor] : reference.header.items()) {
    if (name != "__metadata__") entries.push_back({shared / "data" / "imagenet" / name, -1, ""});
  }
  REQUIRE(entries.size() == 6);
  const Preprocessing preprocessing{.image_size = 224, .crop_pct = 0.9};
  ImageStream stream(entries, preprocessing, {.strict = true}, vbp::Context(2));
  ImageBatch batch;
  REQUIRE(stream.next(batch));
  for (Index i = 0; i < batch.size(); ++i) {
    const std::string name = batch.paths[static_cast<std::size_t>(i)].filename().string();
    INFO(name);
    check_levels(batch.pixels.row(i).data(), reference[name], preprocessing);
  }
}

TEST_CASE("CIFAR-10 photographs become the reference inputs", "[io][images][shared]") {
  VBP_REQUIRE_SHARED(shared);
  const auto list =
      nlohmann::json::parse(vbp_test::read_file(shared / "reference" / "vit_small_cifar10.json"));
  const auto expected = Tensors(shared / "reference" / "vit_small_cifar10.safetensors")["inputs"];
  std::vector<ImageEntry> entries;
  for (std::size_t i = 0; i < 100; i += 10) {
    entries.push_back({shared / list.at("images").at(i).get<std::string>(), -1, ""});
  }
  const Preprocessing preprocessing{.image_size = 84, .crop_pct = 1.0};
  ImageStream stream(entries, preprocessing, {.strict = true});
  ImageBatch batch;
  REQUIRE(stream.next(batch));
  REQUIRE(batch.size() == 10);
  const std::size_t size = 3 * 84 * 84;
  for (Index i = 0; i < 10; ++i) {
    const auto begin = expected.begin() + i * static_cast<Index>(size);
    check_levels(batch.pixels.row(i).data(), {begin, begin + static_cast<Index>(size)}, preprocessing);
  }
}

}  // namespace
