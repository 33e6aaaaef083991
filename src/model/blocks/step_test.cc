#include "model/blocks/step.h"

#include <gtest/gtest.h>

#include <array>
#include <utility>
#include <vector>

namespace throng::model {
namespace {

TEST(Step, RowsThatAreLeftAreThoseOfLastTokens) {
  const std::array<int32_t, 5> tokens{};
  const BatchItem items[] = {{std::span(tokens).first(3), nullptr, 0},
                             {std::span(tokens).first(5), nullptr, 2},
                             {std::span(tokens).first(1), nullptr, 0},
                             {std::span(tokens).first(2), nullptr, 0, 1}};
  Buffers buffers;
  Step step(items, nullptr, buffers);
  const auto number_rows = [&](Rows& rows) {
    rows.Resize(step.NumRows(), 1);
    for (size_t r = 0; r < step.NumRows(); ++r) *rows[r] = static_cast<float>(r);
  };
  Rows carried;
  number_rows(buffers.stream);
  number_rows(buffers.ropes.emplace_back());
  number_rows(carried);
  step.Carry(carried);
  step.KeepLast();

  ASSERT_EQ(step.NumRows(), 3u);
  for (const Rows* rows : {&buffers.stream, &buffers.ropes.front(), &carried}) {
    EXPECT_EQ(*(*rows)[0], 6.0f);
    EXPECT_EQ(*(*rows)[1], 7.0f);
    EXPECT_EQ(*(*rows)[2], 10.0f);
  }
  std::vector<std::pair<size_t, size_t>> item_rows;
  step.ForEachItemRow(1, [&](size_t item, size_t row) { item_rows.emplace_back(item, row); });
  EXPECT_EQ(item_rows, (std::vector<std::pair<size_t, size_t>>{{1, 0}, {1, 1}, {3, 2}}));
  EXPECT_EQ(step.FirstRow(1), 0u);
  EXPECT_EQ(step.FirstToken(1), 3u);
  EXPECT_EQ(step.FirstRow(3), 2u);
  EXPECT_EQ(step.FirstToken(3), 1u);
}

TEST(Step, RoundsGeluForComparisonsAlone) {
  Buffers buffers;
  const Step step({}, nullptr, buffers);
  EXPECT_EQ(step.Computed(Activation::kGeluTanh), Activation::kGeluTanh);
  buffers.matmul.exact_activations = true;
  EXPECT_EQ(step.Computed(Activation::kGeluTanh), Activation::kGeluTanhInHalves);
  EXPECT_EQ(step.Computed(Activation::kSilu), Activation::kSilu);
}

}  // namespace
}  // namespace throng::model
