#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <vector>

#include "base/testing/logged_text.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "model/testing/tiny_model.h"

namespace throng::model {
namespace {

using testing::HasSubstr;

struct TinyWeights {
  std::vector<uint8_t> bytes = TinyModel{}.Bytes();
  GgufFile file{bytes, "tiny"};
  Weights weights = ReadWeights(file, ReadConfig(file));

  bool IsMapped(const Matrix& matrix) const {
    return matrix.data >= bytes.data() && matrix.data < bytes.data() + bytes.size();
  }
};

TEST(Repack, CopiesAllMatricesAndSaysSo) {
  TinyWeights tiny;
  ThreadPool threads(2);
  const LoggedText log;
  Repack(tiny.weights, threads);
  EXPECT_TRUE(tiny.weights.output.in_strips);
  for (const LayerWeights& layer : tiny.weights.layers) {
    for (const Matrix* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      EXPECT_TRUE(matrix->in_strips);
      EXPECT_FALSE(tiny.IsMapped(*matrix));
    }
  }
  EXPECT_THAT(log.Text(), HasSubstr("copied 69.6 kB of weights in "));
}

TEST(Repack, LeavesMappedWhatHasNoMemory) {
  TinyWeights tiny;
  ThreadPool threads(2);
  const LoggedText log;
  int left = 3;
  Repack(tiny.weights, threads, [&](size_t bytes) {
    if (left-- == 0) throw std::bad_alloc();
    return AllocateHuge(bytes);
  });
  const Weights& weights = tiny.weights;
  const LayerWeights& first = weights.layers[0];
  for (const Matrix* matrix : {&weights.output, &first.q, &first.k}) EXPECT_TRUE(matrix->in_strips);
  for (const Matrix* matrix : {&first.v, &first.output, &first.down, &weights.layers[1].q}) {
    EXPECT_FALSE(matrix->in_strips);
    EXPECT_TRUE(tiny.IsMapped(*matrix));
  }
  EXPECT_THAT(log.Text(), HasSubstr("no memory for a copy of the weights: 12 of 15 matrices are read where"));
}

}  // namespace
}  // namespace throng::model
