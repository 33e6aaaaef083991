// One forward pass of some sequences, as the blocks of a model see it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <typeindex>
#include <unordered_map>
#include <vector>

#include "attention/attention.h"
#include "model/blocks/rows.h"
#include "model/matmul/matmul.h"
#include "model/row_ops.h"
#include "model/transformer.h"

namespace throng {
class ThreadPool;
}

namespace throng::model {

struct StoredKeys;
struct Rope;

// What passes of one group of sequences work on, kept from pass to pass.
class Buffers {
 public:
  Rows stream;              // the residual stream
  Rows normed;              // what a block reads
  Rows added;               // what a block writes
  Rows beside;              // what a block writes that runs beside another one
  std::vector<Rows> ropes;  // [rows, cosines and sines], of each rope of the model
  MatMulScratch matmul;
  std::vector<attention::AttentionScratch> attention;

  // Those of one kind of block: T is a struct of Rows and the like.
  template <typename T>
  T& Of() {
    std::shared_ptr<void>& slot = of_blocks_[typeid(T)];
    if (slot == nullptr) slot = std::make_shared<T>();
    return *static_cast<T*>(slot.get());
  }

 private:
  std::unordered_map<std::type_index, std::shared_ptr<void>> of_blocks_;
};

// Of a sequence's new tokens, the last ones, those whose logits or states are asked for.
inline size_t LastRows(const BatchItem& item) {
  return static_cast<size_t>(item.num_logits + item.num_states);
}

class Step {
 public:
  // items: in the order of rows: one row for each of their tokens. pool: null for a pass on this thread
  // alone.
  Step(std::span<const BatchItem> items, ThreadPool* pool, Buffers& buffers);

  std::span<const BatchItem> Items() const { return items_; }
  ThreadPool* Pool() const { return pool_; }
  Buffers& GetBuffers() const { return buffers_; }
  size_t NumRows() const { return num_rows_; }
  // An item's rows begin at FirstRow; they are those of its tokens from FirstToken on.
  size_t FirstRow(size_t item) const { return first_rows_[item]; }
  // Of a row, the index of its token among the item's.
  size_t TokenOfRow(size_t item, size_t row) const { return FirstToken(item) + row - FirstRow(item); }
  size_t FirstToken(size_t item) const {
    return only_last_left_ ? items_[item].tokens.size() - LastRows(items_[item]) : 0;
  }

  // Calls body for ranges of all rows, each of which costs about ns_per_row.
  void ForRows(size_t ns_per_row, const std::function<void(size_t first, size_t count)>& body) const;
  // Calls body(item, row) for all rows.
  void ForEachItemRow(size_t ns_per_row, const std::function<void(size_t item, size_t row)>& body) const;
  // Calls body(i) for i < count, on all threads if it pays.
  void ForEach(size_t count, bool pays, const std::function<void(size_t i)>& body) const;
  // Runs all jobs, on all threads of the pool if there is one.
  void Attend(std::span<const attention::AttentionJob> jobs) const;
  // Products of all rows of x.
  void Multiply(const Rows& x, std::span<const Product> products) const;

  // The activation as this pass computes it: with exact activations, which are there for comparisons, GELU
  // is rounded as the implementation does whose logits are compared.
  Activation Computed(Activation activation) const;

  // True while the last blocks run that fill caches: of their results, only those of the last rows are
  // needed.
  bool OnlyLast() const { return only_last_; }
  void SetOnlyLast(bool only_last) { only_last_ = only_last; }
  // Rows that KeepLast moves too, beside the stream and the ropes.
  void Carry(Rows& rows) { carried_.push_back(&rows); }
  // Moves the last rows of each sequence to the front and forgets the others. Once in a pass.
  void KeepLast();

  // Of each sequence, what its cache's keys lack; null: nothing. [items]
  std::vector<const StoredKeys*> stored_keys;

 private:
  std::span<const BatchItem> items_;
  ThreadPool* pool_;
  Buffers& buffers_;
  std::vector<size_t> first_rows_;
  std::vector<Rows*> carried_;
  size_t num_rows_ = 0;
  bool only_last_ = false;
  bool only_last_left_ = false;  // once KeepLast has run
};

// rows += bias, unless that is empty.  bias: [width]
void AddBias(const Step& step, const std::vector<float>& bias, Rows& rows);

}  // namespace throng::model
