#include "support/onnx.hpp"

#include <array>
#include <filesystem>
#include <iterator>
#include <string>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/io/onnx_graph.hpp"

namespace {

using vbp::Index;
using vbp::io::AtomicFile;
using vbp::io::OnnxGraph;
using vbp_test::read_onnx;
using vbp_test::TemporaryFolder;

OnnxGraph small_graph() {
  OnnxGraph graph("small");
  graph.input("x", {vbp::io::kOnnxBatch, 2});
  graph.initializer("w", {3, 2}, std::array{1.0F, 2.0F, 3.0F, 4.0F, 5.0F, -6.0F});
  const std::string product = graph.node("product", "Gemm", {"x", "w"}, {{"transB", 1}, {"alpha", 0.5F}});
  const std::string column = graph.node("column", "Unsqueeze", {product, graph.list({2})});
  const std::string turned = graph.node("turned", "Transpose", {column}, {{"perm", {0, 2, 1}}});
  graph.output(graph.node("y", "Mul", {turned, graph.number(0.25F)}), {vbp::io::kOnnxBatch, 1, 3});
  return graph;
}

}  // namespace

TEST_CASE("protobuf reads from an ONNX file what was put into the graph", "[onnx]") {
  const TemporaryFolder folder;
  AtomicFile file(folder / "small.onnx");
  small_graph().write(file, {{"key", "value"}, {"other", ""}}, {.producer_version = "1.2.3"});
  file.commit();
  const ::onnx::ModelProto model = read_onnx(folder / "small.onnx");
  CHECK(model.ir_version() == 8);
  CHECK(model.producer_name() == "vbp");
  CHECK(model.producer_version() == "1.2.3");
  REQUIRE(model.opset_import_size() == 1);
  CHECK(model.opset_import(0).domain().empty());
  CHECK(model.opset_import(0).version() == 17);
  CHECK(vbp_test::metadata_of(model) == std::map<std::string, std::string>{{"key", "value"}, {"other", ""}});

  const ::onnx::GraphProto& graph = model.graph();
  CHECK(graph.name() == "small");
  vbp_test::check_well_formed(graph);
  CHECK(vbp_test::shape_of(graph.input(0)) == std::vector<std::string>{"batch", "2"});
  CHECK(vbp_test::shape_of(graph.output(0)) == std::vector<std::string>{"batch", "1", "3"});
  CHECK(vbp_test::dims_of(graph, "w") == std::vector<Index>{3, 2});
  REQUIRE(graph.initializer_size() == 1);
  const std::string bytes = graph.initializer(0).raw_data();
  REQUIRE(bytes.size() == 24);
  CHECK(bytes.substr(0, 8) == std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8));  // 1 and 2
  CHECK(bytes.substr(20) == std::string("\x00\x00\xc0\xc0", 4));                    // -6

  REQUIRE(graph.node_size() == 6);
  const ::onnx::NodeProto& product = graph.node(0);
  CHECK(product.op_type() == "Gemm");
  REQUIRE(product.attribute_size() == 2);
  CHECK(product.attribute(0).name() == "transB");
  CHECK(product.attribute(0).type() == ::onnx::AttributeProto::INT);
  CHECK(product.attribute(0).i() == 1);
  CHECK(product.attribute(1).type() == ::onnx::AttributeProto::FLOAT);
  CHECK(product.attribute(1).f() == 0.5F);
  const ::onnx::NodeProto& axes = graph.node(1);
  CHECK(axes.op_type() == "Constant");
  CHECK(axes.attribute(0).t().data_type() == ::onnx::TensorProto::INT64);
  CHECK(axes.attribute(0).t().dims_size() == 1);
  CHECK(axes.attribute(0).t().raw_data() == std::string("\x02\0\0\0\0\0\0\0", 8));
  const ::onnx::AttributeProto& perm = graph.node(3).attribute(0);
  CHECK(perm.type() == ::onnx::AttributeProto::INTS);
  CHECK(std::vector<Index>(perm.ints().begin(), perm.ints().end()) == std::vector<Index>{0, 2, 1});
  const ::onnx::TensorProto& quarter = graph.node(4).attribute(0).t();
  CHECK(quarter.data_type() == ::onnx::TensorProto::FLOAT);
  CHECK(quarter.dims_size() == 0);
  CHECK(quarter.raw_data() == std::string("\x00\x00\x80\x3e", 4));
}

TEST_CASE("numbers and lists of an ONNX graph are made once", "[onnx]") {
  OnnxGraph graph("constants");
  CHECK(graph.number(0.5F) == graph.number(0.5F));
  CHECK(graph.list({1, 2}) == graph.list({1, 2}));
  CHECK(graph.whole_number(1) == graph.whole_number(1));
  CHECK(graph.proto().graph().node_size() == 3);
  // What differs in value or in rank is not the same.
  graph.number(0.25F), graph.number(1.0F), graph.list({1}), graph.list({12}), graph.list({});
  CHECK(graph.proto().graph().node_size() == 8);
}

TEST_CASE("an ONNX file that would be too large is refused before anything is written", "[onnx]") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "small.onnx";
  std::size_t bytes = 0;
  {
    AtomicFile file(path);
    small_graph().write(file, {});
    bytes = file.size();
    CHECK_NOTHROW(small_graph().write(file, {}, {.most_bytes = bytes}));
  }
  AtomicFile file(path);
  CHECK_THROWS_WITH(small_graph().write(file, {}, {.most_bytes = bytes - 1}),
                    path.string() + ": would take " + std::to_string(bytes) +
                        " bytes, and an ONNX file holds at most " + std::to_string(bytes - 1));
  CHECK(file.size() == 0);
  CHECK(vbp::io::OnnxOptions{}.most_bytes == 2147483647);
}

TEST_CASE("what a file throws while an ONNX graph is written comes out", "[onnx]") {
  const TemporaryFolder folder;
  AtomicFile file(folder / "small.onnx");
  file.prepare();
  CHECK_THROWS_AS(small_graph().write(file, {}), vbp::FileError);
  CHECK_THROWS_WITH(small_graph().write(file, {}), Catch::Matchers::Contains("no longer open for writing"));
}
