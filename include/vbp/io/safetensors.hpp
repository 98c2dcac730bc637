#pragma once
/// The safetensors format: a JSON header that names tensors, then their bytes. Read in place, written in
/// order.
///
/// A file is an 8-byte little-endian header length, the header, a JSON object {"name": {"dtype", "shape",
/// "data_offsets": [begin, end]}, ..., "__metadata__": {"key": "text"}}, and the data, which the tensors
/// cover without hole or overlap.

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"

namespace vbp::inline VBP_ABI::io {

static_assert(std::endian::native == std::endian::little,
              "vbp reads and writes little-endian files in place");

/// The element types of the format that fill whole bytes.
enum class Dtype { BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, U16, F16, BF16, I32, U32, F32, I64, U64, F64 };

namespace detail {

struct DtypeFacts {
  Dtype dtype;
  std::string_view name;
  std::size_t size;
};

inline constexpr DtypeFacts kDtypes[] = {
    {Dtype::BOOL, "BOOL", 1},       {Dtype::U8, "U8", 1},           {Dtype::I8, "I8", 1},
    {Dtype::F8_E5M2, "F8_E5M2", 1}, {Dtype::F8_E4M3, "F8_E4M3", 1}, {Dtype::I16, "I16", 2},
    {Dtype::U16, "U16", 2},         {Dtype::F16, "F16", 2},         {Dtype::BF16, "BF16", 2},
    {Dtype::I32, "I32", 4},         {Dtype::U32, "U32", 4},         {Dtype::F32, "F32", 4},
    {Dtype::I64, "I64", 8},         {Dtype::U64, "U64", 8},         {Dtype::F64, "F64", 8},
};

}  // namespace detail

/// The format's name of an element type.
constexpr std::string_view dtype_name(Dtype dtype) {
  return detail::kDtypes[static_cast<std::size_t>(dtype)].name;
}

/// Bytes of one element.
constexpr std::size_t dtype_size(Dtype dtype) {
  return detail::kDtypes[static_cast<std::size_t>(dtype)].size;
}

/// True for the types that to() converts: F16, BF16, F32, F64.
constexpr bool is_floating_point(Dtype dtype) {
  return dtype == Dtype::F16 || dtype == Dtype::BF16 || dtype == Dtype::F32 || dtype == Dtype::F64;
}

/// The C++ types that are stored as they are.
template <class T>
concept TensorScalar = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int64_t> ||
    std::same_as<T, std::int32_t> || std::same_as<T, std::uint8_t>;

/// The element type that T is stored as.
template <TensorScalar T>
constexpr Dtype dtype_of() {
  if constexpr (std::same_as<T, float>) return Dtype::F32;
  if constexpr (std::same_as<T, double>) return Dtype::F64;
  if constexpr (std::same_as<T, std::int64_t>) return Dtype::I64;
  if constexpr (std::same_as<T, std::int32_t>) return Dtype::I32;
  return Dtype::U8;
}

/// A tensor where it lies: row-major elements, not necessarily aligned. The view does not keep them alive.
struct TensorView {
  Dtype dtype = Dtype::F32;
  std::vector<Index> shape;
  std::span<const std::byte> data;

  Index size() const noexcept { return static_cast<Index>(data.size() / dtype_size(dtype)); }
};

/// The text entries of a file's header, by key.
using Metadata = std::map<std::string, std::string, std::less<>>;

/// IEEE 754 binary16 to single precision: exact, with subnormals, infinities and NaN payloads.
constexpr float float_from_f16(std::uint16_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fU;
  const std::uint32_t fraction = half & 0x3ffU;
  if (exponent == 0) {
    // A subnormal is fraction * 2^-24, which single precision holds as a normal number.
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24F));
  }
  // The bias is 127 - 15 = 112 larger; the largest exponent stays the largest.
  const std::uint32_t wide = exponent == 0x1fU ? 0xffU : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

/// bfloat16 to single precision, of which it is the upper half.
constexpr float float_from_bf16(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

namespace detail {

/// A name or text from a file as an error shows it: in quotes, on one line, not endless.
inline std::string name_text(std::string_view name) {
  constexpr std::size_t kLongest = 240;
  std::string text = "\"";
  for (const char c : name.substr(0, kLongest))
    text += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return text + (name.size() > kLongest ? "...\"" : "\"");
}

inline std::string shape_text(std::span<const Index> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/// Bytes of a tensor, or nothing if they are more than an Index can count.
inline std::optional<std::uint64_t> byte_count(Dtype dtype, std::span<const Index> shape) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  auto bytes = static_cast<std::uint64_t>(dtype_size(dtype));
  for (const Index length : shape) {
    const auto factor = static_cast<std::uint64_t>(length);
    if (factor != 0 && bytes > kMost / factor) return std::nullopt;
    bytes *= factor;
  }
  return bytes;
}

template <class Stored, class T, class Convert>
void convert_elements(std::span<const std::byte> data, T* out, Convert convert) {
  const std::size_t count = data.size() / sizeof(Stored);
  for (std::size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, data.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = static_cast<T>(convert(value));
  }
}

/// `out` holds view.size() elements; throws ValueError if the elements are not floating point.
template <std::floating_point T>
void convert_to(const TensorView& view, T* out) {
  const auto same = [](auto value) { return value; };
  switch (view.dtype) {
    case Dtype::F16:
      return convert_elements<std::uint16_t>(view.data, out, float_from_f16);
    case Dtype::BF16:
      return convert_elements<std::uint16_t>(view.data, out, float_from_bf16);
    case Dtype::F32:
      return convert_elements<float>(view.data, out, same);
    case Dtype::F64:
      return convert_elements<double>(view.data, out, same);
    default:
      throw ValueError(std::string(dtype_name(view.dtype)) + " is not a floating point type");
  }
}

/// What the header says of one tensor.
struct HeaderEntry {
  std::optional<Dtype> dtype;
  std::optional<std::vector<Index>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

/// Reads the header event by event: it never recurses, builds no tree, and stops at the first thing that
/// the format does not allow, so that depth and size of a hostile header cost nothing.
class HeaderParser final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderParser(const std::string& path) : path_(path) {}

  std::map<std::string, HeaderEntry, std::less<>> entries;
  Metadata metadata;

  bool key(string_t& name) override {
    key_ = name;
    switch (at_) {
      case At::top:
        if (name == "__metadata__" ? std::exchange(has_metadata_, true) : entries.contains(name)) {
          fail(name_text(name) + " appears twice in the header");
        }
        tensor_ = name;
        break;
      case At::metadata:
        if (metadata.contains(name)) fail("metadata key " + name_text(name) + " appears twice");
        break;
      default: {
        const HeaderEntry& entry = *entry_;
        if (name != "dtype" && name != "shape" && name != "data_offsets") {
          fail_tensor("has an unknown key " + name_text(name));
        }
        if ((name == "dtype" && entry.dtype) || (name == "shape" && entry.shape) ||
            (name == "data_offsets" && entry.offsets)) {
          fail_tensor(name + " appears twice");
        }
      }
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (at_ == At::start) {
      at_ = At::top;
    } else if (at_ == At::top && key_ == "__metadata__") {
      at_ = At::metadata;
    } else if (at_ == At::top) {
      entry_ = &entries[tensor_];
      at_ = At::tensor;
    } else {
      refuse();
    }
    return true;
  }

  bool end_object() override {
    if (at_ == At::tensor) {
      if (!entry_->dtype) fail_tensor("has no dtype");
      if (!entry_->shape) fail_tensor("has no shape");
      if (!entry_->offsets) fail_tensor("has no data_offsets");
    }
    at_ = At::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (at_ != At::tensor || key_ == "dtype") refuse();
    if (key_ == "shape") {
      at_ = At::shape;
      entry_->shape.emplace();
    } else {
      at_ = At::offsets;
      entry_->offsets.emplace();
    }
    return true;
  }

  bool end_array() override {
    if (at_ == At::offsets && entry_->offsets->size() != 2) refuse();
    at_ = At::tensor;
    return true;
  }

  bool string(string_t& text) override {
    if (at_ == At::metadata) {
      metadata.emplace(key_, text);
      return true;
    }
    if (at_ != At::tensor || key_ != "dtype") refuse();
    for (const DtypeFacts& facts : kDtypes) {
      if (facts.name == text) entry_->dtype = facts.dtype;
    }
    if (!entry_->dtype) fail_tensor("has an unknown dtype " + name_text(text));
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (at_ == At::shape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) refuse();
      entry_->shape->push_back(static_cast<Index>(value));
    } else if (at_ == At::offsets) {
      if (entry_->offsets->size() == 2) refuse();
      entry_->offsets->push_back(value);
    } else {
      refuse();
    }
    return true;
  }

  bool null() override { refuse(); }
  bool boolean(bool) override { refuse(); }
  bool number_integer(number_integer_t) override { refuse(); }
  bool number_float(number_float_t, const string_t&) override { refuse(); }
  bool binary(binary_t&) override { refuse(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("the header is not valid JSON at its byte " + std::to_string(position));
  }

 private:
  enum class At { start, top, metadata, tensor, shape, offsets };

  [[noreturn]] void fail(const std::string& reason) const { throw FileError(path_, reason); }
  [[noreturn]] void fail_tensor(const std::string& reason) const {
    fail("tensor " + name_text(tensor_) + ": " + reason);
  }

  /// The value that comes next is of a kind that has no place here.
  [[noreturn]] void refuse() const {
    if (at_ == At::start) fail("the header is not a JSON object");
    if (at_ == At::metadata) fail("metadata " + name_text(key_) + " is not a string");
    if (at_ == At::top && key_ == "__metadata__") fail("the metadata is not a JSON object");
    if (at_ == At::top) fail_tensor("is not described by a JSON object");
    if (key_ == "dtype") fail_tensor("dtype is not a string");
    if (key_ == "shape") fail_tensor("shape is not a list of non-negative integers");
    fail_tensor("data_offsets is not a pair of non-negative integers");
  }

  const std::string& path_;
  At at_ = At::start;
  bool has_metadata_ = false;
  std::string key_;
  std::string tensor_;
  HeaderEntry* entry_ = nullptr;
};

/// The limit of the format's own reader.
inline constexpr std::uint64_t kMostHeaderBytes = 100'000'000;

}  // namespace detail

/// All elements as T, in memory order. F16, BF16 and F32 convert exactly, F64 to float rounds to nearest.
/// Throws ValueError if the elements are not floating point.
template <std::floating_point T>
Vector<T> to(const TensorView& view) {
  Vector<T> values(view.size());
  detail::convert_to(view, values.data());
  return values;
}

/// A safetensors file whose tensors are read where they lie. Everything that the format demands is checked
/// on opening; every error is a FileError that names the file and, where there is one, the tensor.
/// Views stay valid as long as the file object, moved or not.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path) : file_(path), path_(path.string()) {
    parse(file_->bytes());
  }

  /// A file that is already in memory, and stays there as long as the object; errors name it `path`.
  static SafetensorsFile from_bytes(std::span<const std::byte> bytes, std::string path) {
    return SafetensorsFile(bytes, std::move(path));
  }

  const std::string& path() const noexcept { return path_; }
  const Metadata& metadata() const noexcept { return metadata_; }
  const std::map<std::string, TensorView, std::less<>>& tensors() const noexcept { return tensors_; }

  /// The names of the tensors, ascending.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    result.reserve(tensors_.size());
    for (const auto& [name, view] : tensors_) result.push_back(name);
    return result;
  }

  bool contains(std::string_view name) const { return tensors_.contains(name); }

  /// The tensor, or a null pointer if there is none of that name.
  const TensorView* find(std::string_view name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }

  /// Throws FileError if there is no tensor of that name.
  const TensorView& tensor(std::string_view name) const {
    const TensorView* view = find(name);
    if (!view) throw FileError(path_, "has no tensor " + detail::name_text(name));
    return *view;
  }

  /// All elements of a floating point tensor of any shape, in memory order.
  template <std::floating_point T>
  Vector<T> read_vector(std::string_view name) const {
    return to<T>(floating_tensor(name));
  }

  /// A vector of `size` elements; dimensions of length one around it are allowed: [1, 1, size].
  template <std::floating_point T>
  Vector<T> read_vector(std::string_view name, Index size) const {
    const TensorView& view = floating_tensor(name);
    const Index ones[] = {size};
    if (view.size() != size ||
        std::count_if(view.shape.begin(), view.shape.end(), [](Index length) { return length != 1; }) > 1) {
      refuse_shape(name, view, ones);
    }
    return to<T>(view);
  }

  /// A matrix [rows, cols]. Neighbouring dimensions may be merged, since that moves no element: a patch
  /// embedding [dim, 3, p, p] is [dim, 3 p p], position embeddings [1, tokens, dim] are [tokens, dim].
  template <std::floating_point T>
  Matrix<T> read_matrix(std::string_view name, Index rows, Index cols) const {
    const TensorView& view = floating_tensor(name);
    const Index wanted[] = {rows, cols};
    if (!splits_into(view.shape, rows, cols)) refuse_shape(name, view, wanted);
    Matrix<T> values(rows, cols);
    detail::convert_to(view, values.data());
    return values;
  }

  /// All elements of a tensor that is stored as T, in memory order; BOOL reads as std::uint8_t.
  template <TensorScalar T>
  std::vector<T> read_array(std::string_view name) const {
    const TensorView& view = tensor(name);
    if (view.dtype != dtype_of<T>() && !(view.dtype == Dtype::BOOL && std::same_as<T, std::uint8_t>)) {
      refuse_dtype(name, view, dtype_name(dtype_of<T>()));
    }
    std::vector<T> values(static_cast<std::size_t>(view.size()));
    // Neither pointer may be null for memcpy, even where there is nothing to copy.
    if (!values.empty()) std::memcpy(values.data(), view.data.data(), view.data.size());
    return values;
  }

 private:
  SafetensorsFile(std::span<const std::byte> bytes, std::string path) : path_(std::move(path)) {
    parse(bytes);
  }

  [[noreturn]] void fail(const std::string& reason) const { throw FileError(path_, reason); }
  [[noreturn]] void fail(std::string_view tensor, const std::string& reason) const {
    fail("tensor " + detail::name_text(tensor) + ": " + reason);
  }
  [[noreturn]] void refuse_dtype(std::string_view name, const TensorView& view,
                                 std::string_view wanted) const {
    fail(name, "is of type " + std::string(dtype_name(view.dtype)) + ", not " + std::string(wanted));
  }
  [[noreturn]] void refuse_shape(std::string_view name, const TensorView& view,
                                 std::span<const Index> wanted) const {
    fail(name, "has shape " + detail::shape_text(view.shape) + " where " + detail::shape_text(wanted) +
                   " is needed");
  }

  const TensorView& floating_tensor(std::string_view name) const {
    const TensorView& view = tensor(name);
    if (!is_floating_point(view.dtype)) refuse_dtype(name, view, "floating point");
    return view;
  }

  static bool splits_into(std::span<const Index> shape, Index rows, Index cols) {
    const auto product = [](std::span<const Index> lengths) {
      Index result = 1;
      for (const Index length : lengths) {
        // A tensor without elements may have lengths whose product is beyond any integer.
        if (length == 0) return Index{0};
        if (result > std::numeric_limits<Index>::max() / length) return Index{-1};
        result *= length;
      }
      return result;
    };
    for (std::size_t split = 0; split <= shape.size(); ++split) {
      if (product(shape.first(split)) == rows && product(shape.subspan(split)) == cols) return true;
    }
    return false;
  }

  void parse(std::span<const std::byte> bytes) {
    std::uint64_t header_bytes = 0;
    if (bytes.size() < sizeof(header_bytes)) fail("is too short to be a safetensors file");
    std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
    bytes = bytes.subspan(sizeof(header_bytes));
    // Whatever is no safetensors file at all has an arbitrary length here: the file's end is told first.
    if (header_bytes > bytes.size()) {
      fail("is cut short or no safetensors file: a header of " + std::to_string(header_bytes) +
           " bytes ends behind the file's end");
    }
    if (header_bytes > detail::kMostHeaderBytes) {
      fail("a header of " + std::to_string(header_bytes) + " bytes is over the format's limit of 100 MB");
    }
    const auto* const begin = reinterpret_cast<const char*>(bytes.data());
    const std::string_view header(begin, static_cast<std::size_t>(header_bytes));
    if (!header.starts_with('{')) fail("the header is not a JSON object");
    // The JSON library takes a zero byte for the end of its input.
    if (const std::size_t zero = header.find('\0'); zero != std::string_view::npos) {
      fail("the header is not valid JSON at its byte " + std::to_string(zero + 1));
    }
    detail::HeaderParser parser(path_);
    nlohmann::json::sax_parse(header.begin(), header.end(), &parser);
    metadata_ = std::move(parser.metadata);
    place(parser, bytes.subspan(static_cast<std::size_t>(header_bytes)));
  }

  /// Every byte of the data belongs to exactly one tensor.
  void place(detail::HeaderParser& parser, std::span<const std::byte> data) {
    struct Piece {
      std::uint64_t begin, end;
      const std::string* name;
    };
    std::vector<Piece> pieces;
    pieces.reserve(parser.entries.size());
    for (auto& [name, entry] : parser.entries) {
      const std::uint64_t begin = (*entry.offsets)[0];
      const std::uint64_t end = (*entry.offsets)[1];
      if (begin > end) fail(name, "its data ends before it begins");
      if (end > data.size()) {
        fail(name, "its data ends at byte " + std::to_string(end) + " of " + std::to_string(data.size()));
      }
      const auto wanted = detail::byte_count(*entry.dtype, *entry.shape);
      if (!wanted) fail(name, "the shape " + detail::shape_text(*entry.shape) + " is too large");
      if (*wanted != end - begin) {
        fail(name, detail::shape_text(*entry.shape) + " of " + std::string(dtype_name(*entry.dtype)) +
                       " are " + std::to_string(*wanted) + " bytes, its data is " +
                       std::to_string(end - begin));
      }
      const auto place = tensors_.emplace_hint(
          tensors_.end(), name,
          TensorView{*entry.dtype, std::move(*entry.shape),
                     data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))});
      pieces.push_back({begin, end, &place->first});
    }
    std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t covered = 0;
    for (const Piece& piece : pieces) {
      if (piece.begin < covered) fail(*piece.name, "its data overlaps another tensor's");
      if (piece.begin > covered) {
        fail(*piece.name,
             "a hole of " + std::to_string(piece.begin - covered) + " bytes lies before its data");
      }
      covered = piece.end;
    }
    if (covered != data.size()) {
      fail(std::to_string(data.size() - covered) + " bytes behind the last tensor belong to none");
    }
  }

  std::optional<MappedFile> file_;
  std::string path_;
  Metadata metadata_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

/// A tensor to be written. Data that do not lie in one piece go on from view.data to the pieces of `rest`.
struct NamedTensor {
  std::string name;
  TensorView view;
  std::vector<std::span<const std::byte>> rest = {};

  std::uint64_t bytes() const noexcept {
    std::uint64_t sum = view.data.size();
    for (const auto& piece : rest) sum += piece.size();
    return sum;
  }
};

/// The length field and the header of a file whose data are the tensors in the order given; padded with
/// spaces to a multiple of 8 bytes. Throws ValueError if a name is empty, reserved, repeated or not UTF-8, or
/// a shape does not fit its data.
inline std::string safetensors_header(std::span<const NamedTensor> tensors, const Metadata& metadata) {
  const auto json_text = [](const std::string& text) {
    try {
      return nlohmann::json(text).dump();
    } catch (const nlohmann::json::exception&) {
      throw ValueError("the text " + detail::name_text(text) + " is not valid UTF-8");
    }
  };
  std::string header;
  const auto begin_entry = [&](const std::string& name) {
    header += (header.empty() ? '{' : ',') + json_text(name) + ":{";
  };
  if (!metadata.empty()) {
    begin_entry("__metadata__");
    for (const auto& [key, text] : metadata) header += json_text(key) + ':' + json_text(text) + ',';
    header.back() = '}';
  }
  std::set<std::string_view> seen;
  std::uint64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::string& name = tensor.name;
    const TensorView& view = tensor.view;
    const std::uint64_t bytes = tensor.bytes();
    if (name.empty()) throw ValueError("a tensor has no name");
    if (name == "__metadata__") throw ValueError("a tensor must not be named __metadata__");
    if (!seen.insert(name).second) throw ValueError("two tensors are named " + detail::name_text(name));
    const bool negative = std::any_of(view.shape.begin(), view.shape.end(), [](Index n) { return n < 0; });
    if (negative || detail::byte_count(view.dtype, view.shape) != bytes) {
      throw ValueError("tensor " + detail::name_text(name) + ": " + std::to_string(bytes) +
                       " bytes do not fit the shape " + detail::shape_text(view.shape) + " of " +
                       std::string(dtype_name(view.dtype)));
    }
    begin_entry(name);
    header += "\"dtype\":\"" + std::string(dtype_name(view.dtype)) + "\",\"shape\":[";
    for (const Index length : view.shape) header += std::to_string(length) + ',';
    if (!view.shape.empty()) header.pop_back();
    header += "],\"data_offsets\":[" + std::to_string(offset) + ',';
    offset += bytes;
    header += std::to_string(offset) + "]}";
  }
  header += header.empty() ? "{}" : "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > detail::kMostHeaderBytes) {
    throw ValueError("a header of " + std::to_string(header.size()) + " bytes is over the limit of 100 MB");
  }
  std::string length(sizeof(std::uint64_t), '\0');
  const std::uint64_t size = header.size();
  std::memcpy(length.data(), &size, sizeof(size));
  return length + header;
}

/// Writes the tensors in the order given, straight from where they lie; putting wider types first keeps all
/// aligned. Throws ValueError as safetensors_header does, and FileError. The file is the caller's to commit.
inline void write_safetensors(AtomicFile& file, std::span<const NamedTensor> tensors,
                              const Metadata& metadata = {}) {
  file.write(safetensors_header(tensors, metadata));
  for (const NamedTensor& tensor : tensors) {
    file.write(tensor.view.data);
    for (const auto& piece : tensor.rest) file.write(piece);
  }
}

/// The same in one step; whatever it throws, an existing file is not lost.
inline void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                              const Metadata& metadata = {}) {
  AtomicFile file(path);
  write_safetensors(file, tensors, metadata);
  file.commit();
}

/// Collects tensors and writes them as one file. What is passed as an lvalue is not copied and must live
/// until write(); a temporary is kept.
class SafetensorsWriter {
 public:
  /// A row-major matrix [rows, cols] or a vector [n].
  template <class Derived>
  requires TensorScalar<typename Derived::Scalar>
  void add(std::string name, const Eigen::PlainObjectBase<Derived>& values) {
    static_assert(Derived::IsVectorAtCompileTime || Derived::IsRowMajor,
                  "vbp: tensors are row-major, as vbp::Matrix is");
    std::vector<Index> shape{values.size()};
    if constexpr (!Derived::IsVectorAtCompileTime) shape = {values.rows(), values.cols()};
    using Scalar = typename Derived::Scalar;
    add(std::move(name), std::move(shape),
        std::span<const Scalar>(values.data(), static_cast<std::size_t>(values.size())));
  }

  template <class Derived>
  requires TensorScalar<typename Derived::Scalar>
  void add(std::string name, Eigen::PlainObjectBase<Derived>&& values) {
    const auto kept = std::make_shared<const Derived>(std::move(values.derived()));
    add(std::move(name), *kept);
    kept_.push_back(kept);
  }

  /// Row-major elements of any shape; write() throws ValueError if their number does not fit it.
  template <TensorScalar T>
  void add(std::string name, std::vector<Index> shape, std::span<const T> values) {
    add({std::move(name), {dtype_of<T>(), std::move(shape), std::as_bytes(values)}});
  }

  /// A tensor of any type, such as one of a SafetensorsFile.
  void add(NamedTensor tensor) { tensors_.push_back(std::move(tensor)); }

  /// See write_safetensors.
  void write(AtomicFile& file, const Metadata& metadata = {}) const {
    write_safetensors(file, tensors_, metadata);
  }
  void write(const std::filesystem::path& path, const Metadata& metadata = {}) const {
    write_safetensors(path, tensors_, metadata);
  }

 private:
  std::vector<NamedTensor> tensors_;
  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace vbp::inline VBP_ABI::io
