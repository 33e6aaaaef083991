// The parts that layers are made of: attention, feed-forward, experts, recurrent layers.
#pragma once

#include <functional>
#include <string>

#include "model/blocks/rows.h"
#include "model/blocks/step.h"

namespace throng::model {

// A function of the stream's rows (after a norm), whose result is added to the stream. Blocks are constant
// while passes run: what they work on is in the step's buffers.
class Block {
 public:
  virtual ~Block() = default;

  // For people, a few words: "attention, window of 1024", "8 of 128 experts".
  virtual std::string Describe() const { return MixesTokens() ? "recurrent state" : "feed-forward"; }

  // True for a block whose rows read the other tokens of their sequence, from a cache.
  virtual bool MixesTokens() const { return false; }
  // True if the cache is its own; false if a block before it fills it.
  virtual bool FillsCache() const { return MixesTokens(); }
  // The part of the work that all rows need, whatever the results are for: it fills the caches. Results that
  // Finish needs and that KeepLast has to move are told to the step.
  virtual void MixTokens(Step& step, const Rows& in) const {}
  // out: [rows, dim]; not `in`, whose rows are those of MixTokens unless KeepLast ran in between: then they
  // are of the last rows alone if the block does not mix tokens, and undefined if it does.
  virtual void Finish(Step& step, const Rows& in, Rows& out) const = 0;

  // All matrices that a token reads, in a fixed order.
  virtual void ForEachMatrix(const std::function<void(Matrix&)>& visit) = 0;
};

}  // namespace throng::model
