#pragma once
/// The safetensors format: a JSON header that names tensors, then their bytes. Read in place, written in
/// order.
///
/// A file is an 8-byte little-endian header length, the header, and the data, which the tensors cover without
/// hole or overlap. The header is a JSON object {"name": {"dtype", "shape", "data_offsets": [begin, end]},
/// ..., "__metadata__": {"key": "text"}}.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"

namespace vbp::inline VBP_ABI::io {

static_assert(std::endian::native == std::endian::little,
              "vbp reads and writes little-endian files in place");

/// The element types of the format that fill whole bytes.
enum class Dtype { BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, U16, F16, BF16, I32, U32, F32, I64, U64, F64 };

namespace detail {

struct NamedDtype {
  Dtype dtype;
  std::string_view name;
  std::size_t size;
};

inline constexpr NamedDtype kDtypes[] = {
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

/// A name or text from a file as an error shows it: quoted, on one line, and cut after 240 bytes.
VBP_FUNCTION std::string name_text(std::string_view name);

/// A shape as an error shows it: "[2, 3]".
VBP_FUNCTION std::string shape_text(std::span<const Index> shape);

/// Converts all elements into `out`, which holds view.size(); throws ValueError if they are not floating
/// point.
VBP_FUNCTION void convert_to(const TensorView& view, float* out);
VBP_FUNCTION void convert_to(const TensorView& view, double* out);

struct HeaderEntries;

}  // namespace detail

/// All elements as T, in memory order. F16, BF16 and F32 convert exactly, F64 to float rounds to nearest.
/// Throws ValueError if the elements are not floating point.
template <std::floating_point T>
Vector<T> to(const TensorView& view) {
  Vector<T> values(view.size());
  detail::convert_to(view, values.data());
  return values;
}

/// A safetensors file whose tensors are read where they lie. Opening checks everything that the format
/// demands; every error is a FileError that names the file and, where there is one, the tensor. Views stay
/// valid as long as the file object, moved or not.
class SafetensorsFile {
 public:
  VBP_FUNCTION explicit SafetensorsFile(const std::filesystem::path& path);

  /// A file that is already in memory, which has to outlive the object; errors name it `path`.
  VBP_FUNCTION static SafetensorsFile from_bytes(std::span<const std::byte> bytes, std::string path);

  const std::string& path() const noexcept { return path_; }
  const Metadata& metadata() const noexcept { return metadata_; }
  const std::map<std::string, TensorView, std::less<>>& tensors() const noexcept { return tensors_; }

  /// The names of the tensors, ascending.
  VBP_FUNCTION std::vector<std::string> names() const;

  VBP_FUNCTION bool contains(std::string_view name) const;

  /// The tensor, or a null pointer if there is none of that name.
  VBP_FUNCTION const TensorView* find(std::string_view name) const;

  /// Throws FileError if there is no tensor of that name.
  VBP_FUNCTION const TensorView& tensor(std::string_view name) const;

  /// All elements of a floating point tensor of any shape, in memory order.
  template <std::floating_point T>
  Vector<T> read_vector(std::string_view name) const {
    return to<T>(floating_tensor(name));
  }

  /// A vector of `size` elements; dimensions of length one around it are allowed: [1, 1, size].
  template <std::floating_point T>
  Vector<T> read_vector(std::string_view name, Index size) const {
    return to<T>(vector_tensor(name, size));
  }

  /// A matrix [rows, cols]. Neighbouring dimensions may be merged, since that moves no element: a patch
  /// embedding [dim, 3, p, p] is [dim, 3 p p], position embeddings [1, tokens, dim] are [tokens, dim].
  template <std::floating_point T>
  Matrix<T> read_matrix(std::string_view name, Index rows, Index cols) const {
    const TensorView& view = matrix_tensor(name, rows, cols);
    Matrix<T> values(rows, cols);
    detail::convert_to(view, values.data());
    return values;
  }

  /// All elements of a tensor that is stored as T, in memory order; BOOL reads as std::uint8_t.
  template <TensorScalar T>
  std::vector<T> read_array(std::string_view name) const {
    const TensorView& view = tensor_of_type(name, dtype_of<T>());
    std::vector<T> values(static_cast<std::size_t>(view.size()));
    copy_bytes(view, values.data());
    return values;
  }

 private:
  VBP_FUNCTION SafetensorsFile(std::span<const std::byte> bytes, std::string path);

  VBP_FUNCTION [[noreturn]] void fail(const std::string& reason) const;
  VBP_FUNCTION [[noreturn]] void fail(std::string_view tensor, const std::string& reason) const;
  VBP_FUNCTION [[noreturn]] void refuse_dtype(std::string_view name, const TensorView& view,
                                              std::string_view wanted) const;
  VBP_FUNCTION [[noreturn]] void refuse_shape(std::string_view name, const TensorView& view,
                                              std::span<const Index> wanted) const;

  VBP_FUNCTION const TensorView& floating_tensor(std::string_view name) const;
  VBP_FUNCTION const TensorView& vector_tensor(std::string_view name, Index size) const;
  VBP_FUNCTION const TensorView& matrix_tensor(std::string_view name, Index rows, Index cols) const;
  VBP_FUNCTION const TensorView& tensor_of_type(std::string_view name, Dtype dtype) const;
  VBP_FUNCTION static void copy_bytes(const TensorView& view, void* out);

  VBP_FUNCTION void parse(std::span<const std::byte> bytes);
  /// Where the data of a tensor lie in those of the file.
  struct DataPiece {
    std::uint64_t begin, end;
    const std::string* name;
  };
  VBP_FUNCTION void place(detail::HeaderEntries& header, std::span<const std::byte> data);
  /// Throws unless every byte of the data belongs to exactly one tensor.
  VBP_FUNCTION void require_covered(std::vector<DataPiece> pieces, std::uint64_t bytes) const;

  std::optional<MappedFile> file_;
  std::string path_;
  Metadata metadata_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

/// A tensor to be written. Data that are in several pieces continue from view.data with those of `rest`.
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
VBP_FUNCTION std::string safetensors_header(std::span<const NamedTensor> tensors, const Metadata& metadata);

/// Writes the tensors in the order given, straight from where they lie; wider types first keep all aligned.
/// Throws ValueError as safetensors_header does, and FileError. The caller commits the file.
VBP_FUNCTION void write_safetensors(AtomicFile& file, std::span<const NamedTensor> tensors,
                                    const Metadata& metadata = {});

/// The same in one step; whatever it throws, an existing file is not lost.
VBP_FUNCTION void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                                    const Metadata& metadata = {});

/// Collects tensors and writes them as one file. An lvalue is not copied and has to live until write(); a
/// temporary is kept.
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

  /// Writes the file as write_safetensors does.
  VBP_FUNCTION void write(AtomicFile& file, const Metadata& metadata = {}) const;
  VBP_FUNCTION void write(const std::filesystem::path& path, const Metadata& metadata = {}) const;

 private:
  std::vector<NamedTensor> tensors_;
  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/safetensors-inl.hpp"
#endif
