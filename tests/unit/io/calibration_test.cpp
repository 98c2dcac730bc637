#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/core/random.hpp"
#include "vbp/io/calibration_file.hpp"

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using vbp::FileError;
using vbp::Index;
using vbp::Matrix;
using vbp::ValueError;
using vbp::Vector;
using vbp::io::Calibration;
using vbp::io::Hash128;
using vbp::io::SafetensorsFile;
using vbp::io::SafetensorsWriter;
using vbp_test::TemporaryFolder;
using Statistics = vbp::Statistics<double>;

const fs::path kCalibrations = fs::path(VBP_TEST_DIR) / "fuzz/corpus/calibration";

/// A calibration of images first, ..., first + count - 1 of an imagined set; three tokens an image.
Calibration calibration_of(Index first, Index count) {
  Calibration result{.model = {1, 2},
                     .preprocessing = "size 8, bicubic",
                     .model_name = "tiny",
                     .images = {},
                     .names = {"blocks.1", "blocks.0", "\xc3\xa4 \"last\""},
                     .statistics = {}};
  for (const Index width : {5, 3, 1}) result.statistics.emplace_back(width);
  for (Index image = first; image < first + count; ++image) {
    result.images.push_back({static_cast<std::uint64_t>(image) % 3, static_cast<std::uint64_t>(image)});
    vbp::Random random(static_cast<std::uint64_t>(image));
    for (Statistics& statistics : result.statistics) {
      statistics.observe(
          Matrix<double>::NullaryExpr(3, statistics.features(), [&] { return 2.0 + random.normal(); }));
    }
  }
  return result;
}

/// The same with the covariances of the same samples.
Calibration with_covariances(Index first, Index count) {
  Calibration result = calibration_of(first, count);
  for (const Statistics& statistics : result.statistics) {
    result.covariances.emplace_back(statistics.features());
  }
  for (Index image = first; image < first + count; ++image) {
    vbp::Random random(static_cast<std::uint64_t>(image));
    for (vbp::Covariance<float>& covariance : result.covariances) {
      covariance.observe(
          Matrix<double>::NullaryExpr(3, covariance.features(), [&] { return 2.0 + random.normal(); }));
    }
  }
  return result;
}

void check_same(const Calibration& a, const Calibration& b) {
  CHECK(a.model == b.model);
  CHECK(a.preprocessing == b.preprocessing);
  CHECK(a.model_name == b.model_name);
  CHECK(a.images == b.images);
  CHECK(a.names == b.names);
  REQUIRE(a.statistics.size() == b.statistics.size());
  for (std::size_t i = 0; i < a.statistics.size(); ++i) {
    CHECK(a.statistics[i].count() == b.statistics[i].count());
    CHECK(a.statistics[i].mean() == b.statistics[i].mean());
    CHECK(a.statistics[i].m2() == b.statistics[i].m2());
  }
  REQUIRE(a.covariances.size() == b.covariances.size());
  for (std::size_t i = 0; i < a.covariances.size(); ++i) {
    CHECK(a.covariances[i].count() == b.covariances[i].count());
    CHECK(a.covariances[i].mean() == b.covariances[i].mean());
    CHECK(a.covariances[i].m2() == b.covariances[i].m2());
  }
}

/// Merging is refused with the reason, and leaves everything as it was.
void check_refused(const Calibration& target, const Calibration& other, const std::string& reason) {
  Calibration changed = target;
  CHECK_THROWS_AS(changed.merge(other), ValueError);
  CHECK_THROWS_WITH(changed.merge(other), Contains(reason));
  check_same(changed, target);
}

Calibration with_moments(std::int64_t count, double mean, double m2) {
  Calibration result{
      .model = {}, .preprocessing = "", .model_name = "", .images = {}, .names = {"a"}, .statistics = {}};
  result.statistics.push_back(
      Statistics::from_moments(count, Vector<double>::Constant(1, mean), Vector<double>::Constant(1, m2)));
  return result;
}

/// What each file of the corpus is refused for.
const std::map<std::string, std::string> kCalibrationReasons{
    {"empty", "is too short to be a safetensors file"},
    {"cut", "its data ends at byte"},
    {"other_format", "is not a calibration file of vbp"},
    {"no_metadata", "is not a calibration file of vbp"},
    {"version_2", "is a calibration file of version \"2\", this program reads version 1"},
    {"version_missing", "has no \"version\" in its metadata"},
    {"moments_unknown", "holds the moments \"variance,kurtosis\", this program knows"},
    {"covariance_missing", "has no tensor \"a.shift\""},
    {"covariance_not_announced", "this program does not know the tensor \"a.products\""},
    {"products_short", "tensor \"a.products\": holds 5 products of 3 features"},
    {"products_nan", "block \"a\": feature 0 has no valid moments"},
    {"shift_double", "tensor \"a.shift\": has shape [3] of F64 where [features] of F32 is needed"},
    {"shift_other_width", "block \"a\": "},
    {"moments_missing", "has no \"moments\" in its metadata"},
    {"model_short", "the model's fingerprint is not valid: a hash is 32 hexadecimal digits"},
    {"model_not_hex", "the model's fingerprint is not valid"},
    {"preprocessing_missing", "has no \"preprocessing\" in its metadata"},
    {"blocks_not_json", "the metadata \"blocks\" is not a JSON list of names"},
    {"blocks_object", "the metadata \"blocks\" is not a JSON list of names"},
    {"blocks_numbers", "the metadata \"blocks\" is not a JSON list of names"},
    {"blocks_string", "the metadata \"blocks\" is not a JSON list of names"},
    {"blocks_nested", "the metadata \"blocks\" is not a JSON list of names"},
    {"blocks_none", "a calibration needs at least one block"},
    {"blocks_twice", "two blocks are named \"b\""},
    {"blocks_unnamed", "a block has no name"},
    {"block_without_tensors", "has no tensor \"c.count\""},
    {"block_not_listed", "this program does not know the tensor \"a.count\"; a merge would lose it"},
    {"further_moment", "this program does not know the tensor \"a.m3\"; a merge would lose it"},
    {"mean_missing", "has no tensor \"a.mean\""},
    {"mean_nan", "block \"a\": feature 1 has no valid moments"},
    {"mean_infinite", "block \"a\": feature 2 has no valid moments"},
    {"mean_single_precision", "tensor \"a.mean\": has shape [3] of F32 where [features] of F64 is needed"},
    {"mean_matrix", "tensor \"a.mean\": has shape [3, 1] of F64 where [features] of F64 is needed"},
    {"mean_no_features", "block \"a\": "},
    {"m2_negative", "block \"b\": feature 0 has no valid moments"},
    {"m2_nan", "block \"b\": feature 0 has no valid moments"},
    {"m2_other_width", "block \"b\": a mean of 2 features and a second moment of 3"},
    {"count_negative", "block \"a\": a negative sample count: -6"},
    {"count_smallest", "block \"a\": a negative sample count: -9223372036854775808"},
    {"count_zero", "block \"a\": moments that are not zero, of no samples"},
    {"count_no_multiple", "block \"a\": 7 samples cannot come from 2 images"},
    {"count_two", "tensor \"a.count\": holds 2 numbers instead of one"},
    {"count_real", "tensor \"a.count\": is of type F64, not I64"},
    {"images_missing", "has no tensor \"images\""},
    {"images_twice", "the image with the hash 000102030405060708090a0b0c0d0e0f is counted twice"},
    {"images_narrow", "tensor \"images\": has shape [4, 8] of U8 where [n, 16] of U8 is needed"},
    {"images_none", "block \"b\": 6 samples cannot come from 0 images"},
};

}  // namespace

TEST_CASE("every damaged calibration is refused for its own reason", "[calibration]") {
  std::size_t refused = 0;
  for (const auto& entry : fs::directory_iterator(kCalibrations)) {
    const std::string name = entry.path().stem().string();
    CAPTURE(name);
    if (name.starts_with("valid")) {
      CHECK_NOTHROW(Calibration::load(entry.path()));
      continue;
    }
    REQUIRE(kCalibrationReasons.contains(name));
    ++refused;
    std::string message;
    try {
      Calibration::load(entry.path());
    } catch (const FileError& error) {
      message = error.what();
    }
    CHECK_THAT(message, Catch::Matchers::StartsWith(entry.path().string() + ": "));
    CHECK_THAT(message, Contains(kCalibrationReasons.at(name)));
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK(refused == kCalibrationReasons.size());
}

TEST_CASE("a file from elsewhere reads as it was meant", "[calibration]") {
  const Calibration calibration = Calibration::load(kCalibrations / "valid.safetensors");
  CHECK(calibration.model.to_string() == "00112233445566778899aabbccddeeff");
  CHECK(calibration.model_name == "tiny");
  CHECK(calibration.preprocessing == "size 8");
  CHECK(calibration.names == std::vector<std::string>{"b", "a"});
  REQUIRE(calibration.images.size() == 2);
  CHECK(calibration.images[1].to_string() == "101112131415161718191a1b1c1d1e1f");
  CHECK(calibration.statistics[0].count() == 6);
  CHECK(calibration.statistics[0].mean() == Vector<double>(Eigen::Vector2d(0.5, -1.0)));
  CHECK(calibration.statistics[0].m2() == Vector<double>(Eigen::Vector2d(0.0, 4.0)));
  CHECK(calibration.statistics[1].mean() == Vector<double>(Eigen::Vector3d(1.0, 2.0, 3.0)));
}

TEST_CASE("a calibration survives its file, bit for bit and in order", "[calibration]") {
  const TemporaryFolder folder;
  const Calibration calibration = calibration_of(0, 7);
  calibration.save(folder / "a");
  check_same(Calibration::load(folder / "a"), calibration);
  Calibration::load(folder / "a").save(folder / "b");
  const SafetensorsFile a(folder / "a"), b(folder / "b");
  CHECK(a.metadata() == b.metadata());
  CHECK(a.metadata().find("moments")->second == "variance");
  CHECK(a.metadata().find("version")->second == "1");
  CHECK(a.tensor("images").shape == std::vector<Index>{7, 16});
  const Calibration nothing = calibration_of(0, 0);
  nothing.save(folder / "a");
  check_same(Calibration::load(folder / "a"), nothing);
}

TEST_CASE("parts that are merged are the whole", "[calibration]") {
  const TemporaryFolder folder;
  const Calibration whole = calibration_of(0, 9);
  Calibration merged = calibration_of(0, 0);
  calibration_of(0, 4).save(folder / "first");
  calibration_of(4, 5).save(folder / "second");
  merged.merge(Calibration::load(folder / "first"));
  merged.merge(Calibration::load(folder / "second"));
  CHECK(merged.images == whole.images);
  CHECK_NOTHROW(merged.validate());
  for (std::size_t i = 0; i < whole.statistics.size(); ++i) {
    const Statistics& a = merged.statistics[i];
    const Statistics& b = whole.statistics[i];
    CHECK(a.count() == 27);
    CHECK(b.count() == 27);
    // A few roundings of each of the 27 samples, which are of the order of one.
    CHECK((a.mean() - b.mean()).cwiseAbs().maxCoeff() <= 1e-14 * b.mean().cwiseAbs().maxCoeff());
    CHECK((a.variance() - b.variance()).cwiseAbs().maxCoeff() <= 1e-13 * b.variance().maxCoeff());
  }
}

TEST_CASE("what does not belong together is not merged", "[calibration]") {
  const Calibration target = calibration_of(0, 4);
  const Calibration good = calibration_of(4, 2);
  Calibration other = good;
  other.model.low = 3;
  other.model_name = "huge";
  check_refused(target, other,
                "of another model: fingerprint 00000000000000010000000000000003 of \"huge\", not "
                "00000000000000010000000000000002 of \"tiny\"");
  other = good;
  other.preprocessing += ' ';
  check_refused(target, other, "preprocessed in another way: \"size 8, bicubic \", not \"size 8, bicubic\"");
  other = good;
  other.names.pop_back();
  other.statistics.pop_back();
  check_refused(target, other, "the statistics are of 2 blocks, not 3");
  other = good;
  std::swap(other.names[0], other.names[1]);
  check_refused(target, other, "block 0 is \"blocks.0\", not \"blocks.1\"");
  other = good;
  std::swap(other.statistics[0], other.statistics[1]);
  check_refused(target, other, "block \"blocks.1\" has 3 features, not 5");
  other = good;
  other.model_name = "renamed";
  Calibration merged = target;
  CHECK_NOTHROW(merged.merge(other));
  CHECK(merged.model_name == "tiny");
}

TEST_CASE("covariances survive their file, bit for bit, and go on from it", "[calibration]") {
  const TemporaryFolder folder;
  const Calibration calibration = with_covariances(0, 7);
  calibration.save(folder / "a");
  const SafetensorsFile file(folder / "a");
  CHECK(file.metadata().find("moments")->second == "variance,covariance");
  CHECK(file.tensor("blocks.1.products").shape == std::vector<Index>{15});
  check_same(Calibration::load(folder / "a"), calibration);
  with_covariances(0, 0).save(folder / "b");
  check_same(Calibration::load(folder / "b"), with_covariances(0, 0));
}

TEST_CASE("covariances that are put aside make the same file, and are read one by one", "[calibration]") {
  const TemporaryFolder folder;
  Calibration calibration = with_covariances(0, 7);
  calibration.save(folder / "a");
  std::vector<vbp::Covariance<float>> expected;
  expected.swap(calibration.covariances);
  std::vector<vbp::StoredCovariance> stored;
  for (const auto& covariance : expected) stored.emplace_back(covariance, folder.path());
  vbp::io::AtomicFile file(folder / "b");
  calibration.save(file, stored);
  file.commit();
  const auto bytes = [](const fs::path& path) {
    const vbp::io::MappedFile mapped(path);
    return std::vector<std::byte>(mapped.bytes().begin(), mapped.bytes().end());
  };
  CHECK(bytes(folder / "b") == bytes(folder / "a"));

  std::size_t read = 0;
  const auto take = [&](vbp::Covariance<float>&& covariance) {
    CHECK(covariance.count() == expected.at(read).count());
    CHECK(covariance.m2() == expected.at(read).m2());
    ++read;
  };
  check_same(Calibration::load(folder / "a", take), calibration);
  CHECK(read == expected.size());

  vbp::io::AtomicFile other(folder / "c");
  stored.pop_back();
  CHECK_THROWS_WITH(calibration.save(other, stored), Contains("3 names and 2 covariances"));
  stored.emplace_back(vbp::Covariance<float>(1), folder.path());
  CHECK_THROWS_WITH(calibration.save(other, stored),
                    Contains("the covariance is of 0 samples of 1 features, the variance of 21 of 1"));
}

TEST_CASE("merged covariances are those of the whole, and of one kind only", "[calibration]") {
  const Calibration whole = with_covariances(0, 9);
  Calibration merged = with_covariances(0, 4);
  merged.merge(with_covariances(4, 5));
  for (std::size_t i = 0; i < whole.covariances.size(); ++i) {
    const Matrix<double> expected = whole.covariances[i].m2();
    // Products of about 27 deviations of the order of one, rounded to float.
    CHECK((merged.covariances[i].m2() - expected).norm() <= 1e-5 * expected.norm());
  }
  check_refused(calibration_of(0, 4), with_covariances(4, 2),
                "hold the moments \"variance,covariance\", not \"variance\"");
  check_refused(with_covariances(0, 4), calibration_of(4, 2),
                "hold the moments \"variance\", not \"variance,covariance\"");
}

TEST_CASE("images are not counted twice", "[calibration]") {
  const Calibration target = calibration_of(0, 6);
  // Images 3, 4 and 5 are in both; the hash of 3 is (0, 3), the smallest.
  check_refused(
      target, calibration_of(3, 5),
      "3 of 5 images would be counted twice, the first with the hash 00000000000000000000000000000003");
  check_refused(target, target, "6 of 6 images would be counted twice");
  Calibration twice = calibration_of(0, 2);
  twice.images[1] = twice.images[0];
  check_refused(target, twice, "is counted twice");
  check_refused(twice, calibration_of(6, 1), "is counted twice");
}

TEST_CASE("a merge that leaves the numbers' range is refused", "[calibration]") {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  Calibration a = with_moments(most, 1.0, 1.0);
  Calibration b = with_moments(1, 1.0, 0.0);
  a.images = {{0, 1}};
  b.images = {{0, 2}};
  check_refused(a, b, "block \"a\": too many samples to count");
  a = with_moments(1, 1e200, 0.0);
  b = with_moments(1, -1e200, 0.0);
  a.images = {{0, 1}};
  b.images = {{0, 2}};
  check_refused(a, b, "block \"a\": the merged moments overflow");
}

TEST_CASE("what is not valid is not written", "[calibration]") {
  const TemporaryFolder folder;
  const Calibration good = calibration_of(0, 2);
  const auto refused = [&](const Calibration& bad, const std::string& reason) {
    CHECK_THROWS_AS(bad.save(folder / "a"), ValueError);
    CHECK_THROWS_WITH(bad.save(folder / "a"), Contains(reason));
  };
  Calibration bad = good;
  bad.images.push_back({9, 9});
  bad.images.push_back({9, 10});
  refused(bad, "6 samples cannot come from 4 images");
  bad = good;
  bad.images.clear();
  refused(bad, "6 samples cannot come from 0 images");
  bad = good;
  bad.images[0] = bad.images[1];
  refused(bad, "is counted twice");
  bad = good;
  bad.names[2] = bad.names[0];
  refused(bad, "two blocks are named \"blocks.1\"");
  bad = good;
  bad.names[1].clear();
  refused(bad, "a block has no name");
  bad = good;
  bad.names.pop_back();
  refused(bad, "2 names and 3 statistics");
  bad = good;
  bad.names[0] = "\xff";
  refused(bad, "is not valid UTF-8");
  bad = good;
  bad.statistics[0] = Statistics(5);
  refused(bad, "block \"blocks.1\": 0 samples cannot come from 2 images");
  bad = with_covariances(0, 2);
  bad.covariances.pop_back();
  refused(bad, "3 names and 2 covariances");
  bad = with_covariances(0, 2);
  bad.covariances[0] = vbp::Covariance<float>(5);
  refused(bad, "block \"blocks.1\": the covariance is of 0 samples of 5 features, the variance of 6 of 5");
  refused(Calibration{}, "at least one block");
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("blocks may see different numbers of tokens", "[calibration]") {
  const TemporaryFolder folder;
  Calibration calibration = calibration_of(0, 2);
  calibration.statistics[1] = Statistics(3);
  calibration.statistics[1].observe(Matrix<double>::Constant(10, 3, 1.0));
  calibration.save(folder / "a");
  check_same(Calibration::load(folder / "a"), calibration);
}
