// The bias of key projections, kept out of the cache. With rotary embeddings, a key at position t is
// R(t) (x + b): R(t) turns each pair of elements by an angle proportional to t, and b is the same for all
// tokens. The cache holds R(t) x, and attention adds q . R(t) b to the scores, which depends on the query and
// the position alone. So b takes no bytes, and its size, which may be hundreds of times that of x, does not
// coarsen what codecs do to x.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kv/codec.h"

namespace throng::attention {

// The rotation of queries and keys in a layer.
struct Rotation {
  std::vector<double> frequencies;  // radians per position, of each pair
  bool halves = true;      // pair i is elements (i, i + number of pairs) of a head; else (2i, 2i + 1)
  double magnitude = 1.0;  // rotated elements are multiplied by this too

  size_t First(size_t pair) const { return halves ? pair : 2 * pair; }
  size_t Second(size_t pair) const { return halves ? pair + frequencies.size() : 2 * pair + 1; }
};

// Cosines and sines of some frequencies' angles at the tokens of a page, counted from its middle, and at the
// middles of pages. Shared by all sequences, and by the heads of all layers with the same rotation.
class PageAngles {
 public:
  // Middles of the first `pages` pages are computed here, others on each call.
  PageAngles(std::vector<double> frequencies, int pages);

  struct Angle {
    float cosine, sine;
  };
  // [2, 32]: of the distances 0.5 to 31.5 from the middle, between tokens 31 and 32.
  const float* Within(size_t i) const { return within_.data() + i * kv::kPageTokens; }
  Angle AtMiddle(size_t i, int page) const {
    return page < pages_ ? middles_[static_cast<size_t>(page) * frequencies_.size() + i] : Compute(i, page);
  }
  double Frequency(size_t i) const { return frequencies_[i]; }

 private:
  Angle Compute(size_t i, int page) const;

  std::vector<double> frequencies_;
  int pages_;
  std::vector<float> within_;   // [frequencies, 2, 32]
  std::vector<Angle> middles_;  // [pages, frequencies]
};

// What one KV head's keys lack in the cache, in a few pairs of elements.
struct HeadKeyBias {
  struct Pair {
    size_t first, second;  // elements of the head
    float x, y;            // of the bias, before rotation
    size_t angle;          // index in `angles`
  };
  std::vector<Pair> pairs;
  std::shared_ptr<const PageAngles> angles;

  // Floats of a prepared query: [2, pairs], padded for vectors.
  size_t RowSize() const { return 2 * Padded(); }
  size_t Padded() const { return (pairs.size() + 15) / 16 * 16; }
};

struct LayerKeyBias {
  std::vector<float> removed;      // [KV heads, key_dim]: what keys lack before rotation; 0 in most elements
  std::vector<HeadKeyBias> heads;  // [KV heads]
};

using KeyBias = std::vector<LayerKeyBias>;  // [layers]

// A layer's bias, of which only the pairs that stand out are removed from keys.
struct BiasOfLayer {
  std::vector<float> bias;       // [KV heads, key_dim], before rotation
  std::vector<double> averages;  // [KV heads]: length of a pair of keys without bias, root of the mean square
  const Rotation* rotation;
};

// What stays in keys adds at most this share to their mean square: 8 % to what a codec has to span.
inline constexpr double kMostLeft = 1.0 / 6;

// Removes the pairs longer than their head's average, then the longest of the others until no more than
// kMostLeft stays. Of elements that are not rotated, all are removed and nothing is added to the scores:
// there the bias adds the same to all scores of a query, which no softmax sees. What is not finite, or so
// large that a score could overflow, stays. Null if there is nothing to remove. max_tokens: the longest
// sequence that is usual.
std::shared_ptr<const KeyBias> MakeKeyBias(std::span<const BiasOfLayer> layers, int max_tokens);

// Finds a query's part of each pair. query: [key_dim], rotated; scale: the factor of scores; row:
// [RowSize()].
void PrepareKeyBias(const HeadKeyBias& bias, const float* query, float scale, float* row);

// scores[r, t] += scale * query r . R(64 page + t) b.  rows: [num_rows, RowSize()], scores:
// [num_rows, 64]. Each row's result is independent of num_rows and of the other rows.
void AddKeyBias(const HeadKeyBias& bias, int page, const float* rows, int num_rows, float* scores);

// q . R(position) b in double precision, the specification of the above without `scale`.
double KeyBiasReference(const HeadKeyBias& bias, const float* query, int position);

}  // namespace throng::attention
