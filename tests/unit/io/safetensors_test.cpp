#include "vbp/io/safetensors.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/shared.hpp"

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using vbp::FileError;
using vbp::Index;
using vbp::Matrix;
using vbp::ValueError;
using vbp::Vector;
using vbp::io::Dtype;
using vbp::io::Metadata;
using vbp::io::NamedTensor;
using vbp::io::SafetensorsFile;
using vbp::io::SafetensorsWriter;
using vbp_test::read_file;
using vbp_test::TemporaryFolder;

const fs::path kSafetensors = fs::path(VBP_TEST_DIR) / "fuzz/corpus/safetensors";

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

/// A file in memory from a header as text and data, with a length field that is right.
std::vector<std::byte> file_of(const std::string& header, const std::vector<std::byte>& data) {
  std::vector<std::byte> file = bytes_of(std::vector<std::uint64_t>{header.size()});
  const auto text = std::as_bytes(std::span(header));
  file.insert(file.end(), text.begin(), text.end());
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

/// Sign, exponent and fraction by arithmetic, for a format of 16 bits.
double value_of(unsigned bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  const int largest = (1 << exponent_bits) - 1;
  const int bias = largest / 2;
  const double sign = bits >> 15 != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>(bits >> fraction_bits) & largest;
  const int fraction = static_cast<int>(bits) & ((1 << fraction_bits) - 1);
  if (exponent == largest) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

/// All 65,536 patterns through a file, as float and as double, one byte off any alignment.
void check_all_patterns(const std::string& dtype, int exponent_bits) {
  std::vector<std::uint16_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<std::uint16_t>(i);
  std::vector<std::byte> data = bytes_of(patterns);
  data.insert(data.begin(), std::byte{0});
  const auto bytes = file_of(R"({"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":")" +
                                 dtype + R"(","shape":[65536],"data_offsets":[1,131073]}})",
                             data);
  const auto file = SafetensorsFile::from_bytes(bytes, "memory");
  const Vector<float> single = file.read_vector<float>("x");
  const Vector<double> wide = file.read_vector<double>("x");
  Index wrong = 0;
  for (Index i = 0; i < 65536; ++i) {
    const double expected = value_of(static_cast<unsigned>(i), exponent_bits);
    const bool same = std::isnan(expected)
                          ? std::isnan(single[i]) && std::isnan(wide[i])
                          : static_cast<double>(single[i]) == expected && wide[i] == expected &&
                                std::signbit(single[i]) == std::signbit(expected) &&
                                std::signbit(wide[i]) == std::signbit(expected);
    if (!same) ++wrong;
  }
  CHECK(wrong == 0);
}

/// What each file of the corpus is refused for.
const std::map<std::string, std::string> kSafetensorsReasons{
    {"empty", "is too short to be a safetensors file"},
    {"seven_bytes", "is too short to be a safetensors file"},
    {"header_beyond_file", "a header of 4096 bytes ends behind the file's end"},
    {"header_length_all_ones", "a header of 18446744073709551615 bytes ends behind the file's end"},
    {"header_length_zero", "the header is not a JSON object"},
    {"header_is_array", "the header is not a JSON object"},
    {"header_starts_with_space", "the header is not a JSON object"},
    {"header_cut", "the header is not valid JSON at its byte 39"},
    {"header_two_objects", "the header is not valid JSON at its byte 4"},
    {"header_zero_byte", "the header is not valid JSON at its byte 3"},
    {"header_not_utf8", "the header is not valid JSON at its byte 4"},
    {"nested_arrays", "tensor \"a\": is not described by a JSON object"},
    {"nested_objects", "tensor \"a\": has an unknown key \"a\""},
    {"nested_in_shape", "tensor \"a\": shape is not a list of non-negative integers"},
    {"duplicate_tensor", "\"a\" appears twice in the header"},
    {"duplicate_metadata", "\"__metadata__\" appears twice in the header"},
    {"duplicate_metadata_key", "metadata key \"a\" appears twice"},
    {"duplicate_dtype", "tensor \"a\": dtype appears twice"},
    {"metadata_number", "metadata \"a\" is not a string"},
    {"metadata_nested", "metadata \"a\" is not a string"},
    {"metadata_null", "the metadata is not a JSON object"},
    {"tensor_is_number", "tensor \"a\": is not described by a JSON object"},
    {"tensor_unknown_key", "tensor \"a\": has an unknown key \"stride\""},
    {"tensor_no_shape", "tensor \"a\": has no shape"},
    {"dtype_unknown", "tensor \"a\": has an unknown dtype \"F31\""},
    {"dtype_number", "tensor \"a\": dtype is not a string"},
    {"shape_negative", "tensor \"a\": shape is not a list of non-negative integers"},
    {"shape_fraction", "tensor \"a\": shape is not a list of non-negative integers"},
    {"shape_beyond_64_bits", "tensor \"a\": shape is not a list of non-negative integers"},
    {"shape_beyond_63_bits", "tensor \"a\": shape is not a list of non-negative integers"},
    {"shape_product_overflows", "tensor \"a\": the shape [4294967296, 4294967296, 2] is too large"},
    {"shape_product_wraps_to_size", "tensor \"a\": the shape [4611686018427387905] is too large"},
    {"offsets_one", "tensor \"a\": data_offsets is not a pair of non-negative integers"},
    {"offsets_three", "tensor \"a\": data_offsets is not a pair of non-negative integers"},
    {"offsets_negative", "tensor \"a\": data_offsets is not a pair of non-negative integers"},
    {"offsets_backwards", "tensor \"a\": its data ends before it begins"},
    {"offsets_beyond_file", "tensor \"a\": its data ends at byte 8 of 4"},
    {"offsets_huge", "tensor \"a\": its data ends at byte 18446744073709551615 of 4"},
    {"size_mismatch", "tensor \"a\": [2] of F32 are 8 bytes, its data is 4"},
    {"overlap", "tensor \"b\": its data overlaps another tensor's"},
    {"same_place", "its data overlaps another tensor's"},
    {"empty_inside_another", "tensor \"b\": its data overlaps another tensor's"},
    {"hole_at_start", "tensor \"a\": a hole of 4 bytes lies before its data"},
    {"hole_between", "tensor \"b\": a hole of 4 bytes lies before its data"},
    {"trailing_bytes", "1 bytes behind the last tensor belong to none"},
    {"name_breaks_lines", "tensor \"a?b?ccc"},
};

}  // namespace

TEST_CASE("every hostile file is refused for its own reason, in one line", "[safetensors]") {
  std::size_t refused = 0;
  for (const auto& entry : fs::directory_iterator(kSafetensors)) {
    const std::string name = entry.path().stem().string();
    CAPTURE(name);
    if (name.starts_with("valid")) {
      CHECK_NOTHROW(SafetensorsFile(entry.path()));
      continue;
    }
    REQUIRE(kSafetensorsReasons.contains(name));
    ++refused;
    std::string message;
    try {
      SafetensorsFile file(entry.path());
    } catch (const FileError& error) {
      message = error.what();
    }
    CHECK_THAT(message, Catch::Matchers::StartsWith(entry.path().string() + ": "));
    CHECK_THAT(message, Contains(kSafetensorsReasons.at(name)));
    CHECK(message.find_first_of("\n\r") == std::string::npos);
    CHECK(message.size() < entry.path().string().size() + 400);
  }
  CHECK(refused == kSafetensorsReasons.size());
}

TEST_CASE("a header over the limit is refused before it is read", "[safetensors]") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a";
  const std::uint64_t length = 100'000'001;
  {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&length), 8);
    file << "{}";
  }
  fs::resize_file(path, 8 + length);
  CHECK_THROWS_WITH(SafetensorsFile(path),
                    Contains("a header of 100000001 bytes is over the format's limit of 100 MB"));
}

TEST_CASE("a header of millions of brackets is refused at once", "[safetensors]") {
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string header = "{\"a\":";
    while (header.size() < 20'000'000) header += open;
    CHECK_THROWS_AS(SafetensorsFile::from_bytes(file_of(header, {}), "memory"), FileError);
  }
}

TEST_CASE("a missing file, a folder and a name that is not there are told apart", "[safetensors]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(SafetensorsFile(folder / "x"), Contains("No such file"));
  CHECK_THROWS_WITH(SafetensorsFile(folder.path()), Contains("is a folder"));
  const SafetensorsFile file(kSafetensors / "valid_types.safetensors");
  CHECK_THROWS_WITH(file.tensor("nothing"), file.path() + ": has no tensor \"nothing\"");
  CHECK_THROWS_AS(file.read_vector<float>("nothing"), FileError);
  CHECK(file.find("nothing") == nullptr);
  CHECK_FALSE(file.contains("nothing"));
}

TEST_CASE("a file shows its names, types, shapes and metadata", "[safetensors]") {
  const SafetensorsFile file(kSafetensors / "valid_types.safetensors");
  CHECK(file.names() == std::vector<std::string>{"bf16", "bool", "f16", "f32", "f64", "f8", "i64"});
  CHECK(file.path() == (kSafetensors / "valid_types.safetensors").string());
  CHECK(file.contains("f8"));
  CHECK(file.tensor("f16").dtype == Dtype::F16);
  CHECK(file.tensor("f16").shape == std::vector<Index>{2, 1});
  CHECK(file.tensor("f16").size() == 2);
  CHECK(file.tensor("i64").shape.empty());
  CHECK(file.tensor("i64").size() == 1);
  REQUIRE(file.find("bool") != nullptr);
  CHECK(file.find("bool")->data.size() == 3);
  CHECK(file.tensor("bool").data[2] == std::byte{30});
  CHECK(file.metadata().empty());
  const Metadata expected{{"empty", ""}, {"format", "pt"}};
  CHECK(SafetensorsFile(kSafetensors / "valid_metadata.safetensors").metadata() == expected);
}

TEST_CASE("integers are read as they are stored and never converted", "[safetensors]") {
  const SafetensorsFile file(kSafetensors / "valid_types.safetensors");
  CHECK(file.read_array<std::int64_t>("i64") == std::vector<std::int64_t>{0x1b1a191817161514});
  CHECK(file.read_array<std::uint8_t>("bool") == std::vector<std::uint8_t>{28, 29, 30});
  CHECK_THROWS_WITH(file.read_vector<float>("i64"),
                    file.path() + ": tensor \"i64\": is of type I64, not floating point");
  CHECK_THROWS_WITH(file.read_array<std::int32_t>("i64"), Contains("is of type I64, not I32"));
  CHECK_THROWS_WITH(file.read_array<std::uint8_t>("f8"), Contains("is of type F8_E4M3, not U8"));
  CHECK_THROWS_WITH(vbp::io::to<float>(file.tensor("bool")), "BOOL is not a floating point type");
  CHECK_THROWS_AS(vbp::io::to<double>(file.tensor("i64")), ValueError);
}

TEST_CASE("tensors without elements take no place", "[safetensors]") {
  const SafetensorsFile file(kSafetensors / "valid_empty_tensors.safetensors");
  CHECK(file.read_vector<float>("a").size() == 0);
  CHECK(file.read_matrix<float>("a", 0, 5).cols() == 5);
  CHECK(file.read_vector<double>("c", 0).size() == 0);
  CHECK(file.read_array<std::uint8_t>("d").empty());
  CHECK(file.read_vector<float>("b") == Vector<float>::Zero(1));
}

TEST_CASE("half precision converts exactly, all patterns", "[safetensors]") {
  check_all_patterns("F16", 5);
}

TEST_CASE("bfloat16 converts exactly, all patterns", "[safetensors]") {
  check_all_patterns("BF16", 8);
}

TEST_CASE("float and double are read unaligned, and double rounds to float", "[safetensors]") {
  const double fine = 1.0 + 0x1p-30;
  std::vector<std::byte> data{std::byte{7}};
  for (const auto& part :
       {bytes_of(std::vector<double>{fine, -2.5, 1e300}), bytes_of(std::vector<float>{0.1F, -0.0F})}) {
    data.insert(data.end(), part.begin(), part.end());
  }
  const auto bytes = file_of(R"({"p":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("d":{"dtype":"F64","shape":[3],"data_offsets":[1,25]},)"
                             R"("f":{"dtype":"F32","shape":[2],"data_offsets":[25,33]}})",
                             data);
  const auto file = SafetensorsFile::from_bytes(bytes, "memory");
  CHECK(file.read_vector<double>("d") == Vector<double>(Eigen::Vector3d(fine, -2.5, 1e300)));
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(file.read_vector<float>("d") == Vector<float>(Eigen::Vector3f(1.0F, -2.5F, infinity)));
  CHECK(file.read_vector<float>("f")[0] == 0.1F);
  CHECK(std::signbit(file.read_vector<float>("f")[1]));
  CHECK(file.read_vector<double>("f")[0] == 0.100000001490116119384765625);
  CHECK(file.read_array<double>("d")[0] == fine);
}

TEST_CASE("shapes are checked, and dimensions that touch may be merged", "[safetensors]") {
  const TemporaryFolder folder;
  Vector<float> values(24);
  for (Index i = 0; i < 24; ++i) values[i] = static_cast<float>(i);
  const std::span<const float> span(values.data(), 24);
  SafetensorsWriter writer;
  writer.add("conv", {2, 3, 2, 2}, span);
  writer.add("positions", {1, 6, 4}, span);
  writer.add("token", {1, 1, 24}, span);
  writer.write(folder / "a");
  const SafetensorsFile file(folder / "a");
  CHECK(file.read_matrix<float>("conv", 2, 12)(1, 0) == 12.0F);
  CHECK(file.read_matrix<double>("positions", 6, 4)(5, 1) == 21.0);
  CHECK(file.read_matrix<float>("token", 24, 1)(7, 0) == 7.0F);
  CHECK(file.read_vector<float>("token", 24) == values);
  CHECK(file.read_vector<float>("conv") == values);
  CHECK_THROWS_WITH(file.read_matrix<float>("positions", 4, 6),
                    file.path() + ": tensor \"positions\": has shape [1, 6, 4] where [4, 6] is needed");
  CHECK_THROWS_AS(file.read_matrix<float>("conv", 12, 3), FileError);
  CHECK_THROWS_AS(file.read_matrix<float>("conv", 3, 8), FileError);
  CHECK_THROWS_WITH(file.read_vector<float>("token", 23),
                    Contains("has shape [1, 1, 24] where [23] is needed"));
  CHECK_THROWS_AS(file.read_vector<float>("conv", 24), FileError);
}

TEST_CASE("what is written reads back bit for bit", "[safetensors]") {
  const TemporaryFolder folder;
  Matrix<float> matrix(2, 3);
  matrix << 1, 2, 3, 4, 5, std::numeric_limits<float>::denorm_min();
  const Vector<double> vector = Eigen::Vector2d(0.1, -1e-310);
  const std::vector<std::int64_t> integers{-1, std::numeric_limits<std::int64_t>::max()};
  const std::vector<std::uint8_t> small{255, 0, 1};
  const Metadata metadata{{"a \"quoted\"\nkey", "\xc3\xa4 \\ / \x01"}, {"empty", ""}};
  SafetensorsWriter writer;
  writer.add("z.matrix", matrix);
  writer.add("vector", vector);
  writer.add("integers", {1, 2}, std::span(integers));
  writer.add("small \xc3\xa4", {3}, std::span(small));
  writer.add("half", Vector<float>(Vector<float>::Constant(3, 0.5F)));
  writer.write(folder / "a", metadata);
  const SafetensorsFile file(folder / "a");
  CHECK(file.metadata() == metadata);
  CHECK(file.read_matrix<float>("z.matrix", 2, 3) == matrix);
  CHECK(file.read_vector<double>("vector", 2) == vector);
  CHECK(file.read_array<std::int64_t>("integers") == integers);
  CHECK(file.tensor("integers").shape == std::vector<Index>{1, 2});
  CHECK(file.read_array<std::uint8_t>("small \xc3\xa4") == small);
  CHECK(file.read_vector<float>("half") == Vector<float>::Constant(3, 0.5F));

  // Tensors of a file go on to another file as they are.
  std::vector<NamedTensor> tensors;
  for (const std::string name : {"z.matrix", "vector", "integers", "small \xc3\xa4", "half"}) {
    tensors.push_back({name, file.tensor(name)});
  }
  vbp::io::write_safetensors(folder / "b", tensors, metadata);
  CHECK(read_file(folder / "b") == read_file(folder / "a"));

  // Data in pieces are the same data.
  std::span<const std::byte>& data = tensors[0].view.data;
  tensors[0].rest = {data.subspan(4, 12), {}, data.subspan(16)};
  data = data.first(4);
  vbp::io::write_safetensors(folder / "c", tensors, metadata);
  CHECK(read_file(folder / "c") == read_file(folder / "a"));
  tensors[0].rest.pop_back();
  CHECK_THROWS_WITH(vbp::io::write_safetensors(folder / "c", tensors),
                    Contains("tensor \"z.matrix\": 16 bytes do not fit the shape [2, 3]"));
}

TEST_CASE("the header is the format's, in the order given, padded to 8 bytes", "[safetensors]") {
  const TemporaryFolder folder;
  const std::vector<std::uint8_t> bytes{1, 2, 3};
  SafetensorsWriter writer;
  writer.add("b", {3}, std::span(bytes));
  writer.add("a", {}, std::span<const std::uint8_t>(bytes.data(), 1));
  writer.write(folder / "a", {{"k", "v"}});
  std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                       R"("a":{"dtype":"U8","shape":[],"data_offsets":[3,4]}})";
  while (header.size() % 8 != 0) header += ' ';
  const char length = static_cast<char>(header.size());
  CHECK(read_file(folder / "a") == length + std::string(7, '\0') + header + "\1\2\3\1");

  vbp::io::write_safetensors(folder / "empty", {});
  CHECK(read_file(folder / "empty") == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

TEST_CASE("what is no file of the format is not written", "[safetensors]") {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2};
  const auto refused = [&](const std::string& name, const std::vector<Index>& shape,
                           const std::string& reason, const Metadata& metadata = {}) {
    SafetensorsWriter writer;
    writer.add("first", {2}, std::span(values));
    writer.add(name, shape, std::span(values));
    CHECK_THROWS_AS(writer.write(folder / "a", metadata), ValueError);
    CHECK_THROWS_WITH(writer.write(folder / "a", metadata), Contains(reason));
  };
  refused("", {2}, "a tensor has no name");
  refused("__metadata__", {2}, "must not be named __metadata__");
  refused("first", {2}, "two tensors are named \"first\"");
  refused("bad \xff", {2}, "is not valid UTF-8");
  refused("a", {2}, "is not valid UTF-8", {{"k", "\xc3"}});
  refused("a", {3}, "tensor \"a\": 8 bytes do not fit the shape [3] of F32");
  refused("a", {-1, -2}, "do not fit the shape [-1, -2]");
  refused("a", {Index{1} << 62, 8}, "do not fit the shape");
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("the shared ViT-S is read", "[safetensors]") {
  VBP_REQUIRE_SHARED(shared);
  const SafetensorsFile file(shared / "models/vit_small_cifar10.safetensors");
  CHECK(file.contains("patch_embed.proj.weight"));
  CHECK(file.tensor("blocks.0.mlp.fc1.weight").shape == std::vector<Index>{1536, 384});
  CHECK(file.read_matrix<float>("patch_embed.proj.weight", 384, 3 * 14 * 14).allFinite());
  CHECK_FALSE(file.metadata().empty());
  Index parameters = 0;
  for (const auto& [name, view] : file.tensors()) parameters += view.size();
  // Nothing but the header lies beside the parameters.
  const auto size = static_cast<Index>(fs::file_size(file.path()));
  CHECK(size - 4 * parameters > 8);
  CHECK(size - 4 * parameters < 100000);
}

TEST_CASE("the shared reference holds doubles and bytes", "[safetensors]") {
  VBP_REQUIRE_SHARED(shared);
  const SafetensorsFile file(shared / "reference/vit_small_cifar10.safetensors");
  const Vector<double> variance = file.read_vector<double>("variance.0", 1536);
  CHECK(variance.allFinite());
  CHECK(variance.minCoeff() >= 0.0);
  const auto kept = file.read_array<std::uint8_t>("kept50.0");
  CHECK(kept.size() == 1536);
  CHECK(std::set<std::uint8_t>(kept.begin(), kept.end()) == std::set<std::uint8_t>{0, 1});
}
