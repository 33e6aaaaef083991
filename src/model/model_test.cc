#include "model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <vector>

#include "base/testing/logged_text.h"
#include "base/thread_pool.h"
#include "model/testing/tiny_model.h"

namespace throng::model {
namespace {

using testing::HasSubstr;

struct BuiltModel {
  std::vector<uint8_t> bytes = TinyModel{}.Bytes();
  GgufFile file{bytes, "tiny"};
  std::unique_ptr<Model> model = BuildModel(file);

  std::vector<Matrix> Matrices() {
    std::vector<Matrix> matrices;
    model->ForEachMatrix([&](Matrix& matrix) { matrices.push_back(matrix); });
    return matrices;
  }
  bool IsMapped(const Matrix& matrix) const {
    return matrix.data >= bytes.data() && matrix.data < bytes.data() + bytes.size();
  }
};

TEST(Repack, CopiesAllMatricesAndSaysSo) {
  BuiltModel tiny;
  ThreadPool threads(2);
  const LoggedText log;
  Repack(*tiny.model, threads);
  EXPECT_EQ(tiny.Matrices().size(), 15u);
  for (const Matrix& matrix : tiny.Matrices()) {
    EXPECT_TRUE(matrix.in_strips);
    EXPECT_FALSE(tiny.IsMapped(matrix));
  }
  EXPECT_THAT(log.Text(), HasSubstr("copied 69.6 kB of weights in "));
}

TEST(Repack, LeavesMappedWhatHasNoMemory) {
  BuiltModel tiny;
  ThreadPool threads(2);
  const LoggedText log;
  int left = 3;
  Repack(*tiny.model, threads, [&](size_t bytes) {
    if (left-- == 0) throw std::bad_alloc();
    return AllocateHuge(bytes);
  });
  const std::vector<Matrix> matrices = tiny.Matrices();
  for (size_t i = 0; i < matrices.size(); ++i) {
    EXPECT_EQ(matrices[i].in_strips, i < 3) << i;
    EXPECT_EQ(tiny.IsMapped(matrices[i]), i >= 3) << i;
  }
  EXPECT_THAT(log.Text(), HasSubstr("no memory for a copy of the weights: 12 of 15 matrices are read where"));
}

}  // namespace
}  // namespace throng::model
