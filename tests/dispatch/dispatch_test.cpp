/// Tests the kernels for every instruction set that this program contains and this CPU supports.

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/kernels/reference.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/models/vit/forward.hpp"

namespace {

/// Runs check() once with the kernels for each supported instruction set. Afterwards the best is in use
/// again.
template <class Check>
void for_each_architecture(Check&& check) {
  for (const vbp::kernels::Architecture& architecture : vbp::kernels::architectures()) {
    if (!architecture.supported) continue;
    vbp::kernels::select_architecture(architecture.name);
    INFO("architecture " << architecture.name);
    check();
  }
  vbp::kernels::select_architecture("");
}

}  // namespace

TEST_CASE("the chosen kernels are the ones in use") {
  const std::vector<vbp::kernels::Architecture> all = vbp::kernels::architectures();
  REQUIRE(all.back().supported);
  for (const vbp::kernels::Architecture& architecture : all) {
    if (architecture.supported) {
      vbp::kernels::select_architecture(architecture.name);
      CHECK(architecture.name == vbp::kernels::architecture().name);
    } else {
      CHECK_THROWS_AS(vbp::kernels::select_architecture(architecture.name), vbp::ValueError);
    }
  }
  CHECK_THROWS_AS(vbp::kernels::select_architecture("abacus"), vbp::ValueError);
  vbp::kernels::select_architecture("");
}

TEST_CASE("every architecture multiplies") {
  // The rows and columns are near multiples of the tile sizes of all instruction sets. The largest depth
  // needs more than one slice.
  for_each_architecture([] {
    for (const vbp::Index rows : {1, 13, 37}) {
      for (const vbp::Index columns : {1, 17, 70}) {
        for (const vbp::Index depth : {1, 65, 5000}) {
          const vbp::Matrix<float> a = vbp_test::gaussian<float>(1, rows, depth);
          const vbp::Matrix<float> w = vbp_test::gaussian<float>(2, columns, depth);
          vbp::kernels::Workspace<float> workspace(2);
          vbp::Matrix<float> c(rows, columns);
          vbp::kernels::gemm<float>(a.data(), depth, rows, vbp::kernels::PackedWeight<float>(w), {}, c.data(),
                                    columns, workspace);
          const vbp::Matrix<double> expected = a.cast<double>() * w.cast<double>().transpose();
          // A sum of n products has an error of at most n epsilon times the sum of their magnitudes.
          const vbp::Matrix<double> magnitudes =
              a.cast<double>().cwiseAbs() * w.cast<double>().cwiseAbs().transpose();
          const double unit = static_cast<double>(depth) * std::numeric_limits<float>::epsilon();
          CHECK(((c.cast<double>() - expected).cwiseAbs().array() <= unit * magnitudes.array()).all());
        }
      }
    }
  });
}

TEST_CASE("every architecture gives the same logits") {
  const vbp::VitConfig config{.architecture = "",
                              .image_size = 32,
                              .patch_size = 8,
                              .dim = 48,
                              .heads = 3,
                              .hidden_widths = {96, 33},
                              .classes = 10};
  const auto model = vbp_test::draw_vit<float>(config, 3);
  const vbp::Matrix<float> images = vbp_test::gaussian<float>(4, 3, config.image_elements());
  // In double the kernels use the standard library's exp and erfc, so this is an independent result.
  vbp::kernels::select_architecture("");
  vbp::VitInference<double> exact(vbp::cast<double>(model), vbp::Context(1));
  const vbp::Matrix<double> expected = exact(vbp::Matrix<double>(images.cast<double>()));
  for_each_architecture([&] {
    vbp::VitInference<float> inference(model, vbp::Context(2));
    const vbp::Matrix<double> logits = inference(images).cast<double>();
    CHECK((logits - expected).cwiseAbs().maxCoeff() <= 1e-5 * expected.cwiseAbs().maxCoeff());
  });
}

TEST_CASE("every architecture attends within shifted windows") {
  // Windows have 49 tokens, some of them padding. A head's width is no multiple of any vector width.
  const vbp::kernels::WindowLayout layout{.side = 10, .window = 7, .shift = 3};
  constexpr vbp::Index pixels = 100, heads = 2, head_dim = 19, dim = heads * head_dim;
  const vbp::Matrix<float> qkv = vbp_test::gaussian<float>(1, pixels, 3 * dim);
  const vbp::Matrix<float> padding = vbp_test::gaussian<float>(2, 1, 3 * dim);
  const vbp::Matrix<float> table = vbp_test::gaussian<float>(3, 13 * 13, heads);
  const vbp::Matrix<double> exact = qkv.cast<double>(), exact_padding = padding.cast<double>();
  const std::vector<double> reference = vbp::kernels::reference::window_attention<double>(
      exact.data(), layout.side, layout.window, layout.shift, false,
      vbp::Matrix<double>(table.cast<double>()), head_dim, exact_padding.data());
  const Eigen::Map<const vbp::Matrix<double>> expected(reference.data(), pixels, dim);
  for_each_architecture([&] {
    vbp::kernels::Workspace<float> workspace(2);
    vbp::Matrix<float> out(pixels, dim);
    vbp::kernels::window_attention(qkv.data(), 1, vbp::kernels::PackedWindows<float>(layout, table, head_dim),
                                   padding.data(), out.data(), dim, workspace);
    CHECK((out.cast<double>() - expected).cwiseAbs().maxCoeff() <= 1e-5 * expected.cwiseAbs().maxCoeff());
  });
}
