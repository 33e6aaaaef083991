#include "model/blocks/step.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "model/row_ops.h"

namespace throng::model {

Step::Step(std::span<const BatchItem> items, ThreadPool* pool, Buffers& buffers)
    : items_(items), pool_(pool), buffers_(buffers) {
  for (const BatchItem& item : items) {
    first_rows_.push_back(num_rows_);
    num_rows_ += item.tokens.size();
  }
  if (buffers_.attention.empty()) buffers_.attention.resize(1);
}

void Step::ForRows(size_t ns_per_row, const std::function<void(size_t, size_t)>& body) const {
  constexpr size_t kTaskNs = 20000;
  const size_t per_task = std::max<size_t>(1, kTaskNs / std::max<size_t>(1, ns_per_row));
  if (!pool_ || num_rows_ < 2 * per_task) return body(0, num_rows_);
  pool_->ParallelFor((num_rows_ + per_task - 1) / per_task, [&](size_t task, int) {
    body(task * per_task, std::min(per_task, num_rows_ - task * per_task));
  });
}

void Step::ForEachItemRow(size_t ns_per_row, const std::function<void(size_t, size_t)>& body) const {
  ForRows(ns_per_row, [&](size_t first, size_t count) {
    // The item of the first row; first_rows_ ascends.
    auto item = static_cast<size_t>(std::ranges::upper_bound(first_rows_, first) - first_rows_.begin()) - 1;
    for (size_t r = first; r < first + count; ++r) {
      while (item + 1 < first_rows_.size() && first_rows_[item + 1] <= r) ++item;
      body(item, r);
    }
  });
}

void Step::ForEach(size_t count, bool pays, const std::function<void(size_t)>& body) const {
  if (pool_ && pays) return pool_->ParallelFor(count, [&](size_t i, int) { body(i); });
  for (size_t i = 0; i < count; ++i) body(i);
}

void Step::Attend(std::span<const attention::AttentionJob> jobs) const {
  if (pool_ && !jobs.empty()) return attention::AttendAll(jobs, *pool_, buffers_.attention);
  for (const attention::AttentionJob& job : jobs) attention::Attend(job, buffers_.attention[0]);
}

void Step::Multiply(const Rows& x, std::span<const Product> products) const {
  MatMul(x[0], num_rows_, x.Width(), x.Width(), products, buffers_.matmul, pool_);
}

Activation Step::Computed(Activation activation) const {
  const bool rounds = buffers_.matmul.exact_activations && activation == Activation::kGeluTanh;
  return rounds ? Activation::kGeluTanhInHalves : activation;
}

void Step::KeepLast() {
  const auto keep = [&](Rows& rows) {
    size_t from = 0;
    size_t to = 0;
    for (const BatchItem& item : items_) {
      from += item.tokens.size();
      for (size_t r = from - LastRows(item); r < from; ++r, ++to) {
        if (r != to) std::copy_n(rows[r], rows.Width(), rows[to]);
      }
    }
    return to;
  };
  const size_t kept = keep(buffers_.stream);
  for (Rows* rows : carried_) keep(*rows);
  for (Rows& rope : buffers_.ropes) keep(rope);
  num_rows_ = kept;
  only_last_left_ = true;
  size_t first = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    first_rows_[i] = first;
    first += LastRows(items_[i]);
  }
}

void AddBias(const Step& step, const std::vector<float>& bias, Rows& rows) {
  if (bias.empty()) return;
  step.ForRows(rows.Width() / 8, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) AddTo(rows[r], bias.data(), rows.Width());
  });
}

}  // namespace throng::model
