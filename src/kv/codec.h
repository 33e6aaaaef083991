// The interface of codecs: encode the 64 x d block of one page's keys or values, and let attention read the
// codes. The table of codecs is in codec_table.h, the layout of pages in block_layout.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace throng::kv {

inline constexpr int kPageTokens = 64;  // tokens of one page

enum class Part { kKeys, kValues };

class OpenCodec;

// Form of the open page, which is not encoded yet. kInt8: rows in 8 bits with a universal scale, set by the
// earlier pages (see int8/int8_open.h).
enum class OpenType { kF16, kF32, kInt8 };

// The bytes of an encoded block, by kind.
struct ByteCounts {
  size_t codes = 0;     // packed elements
  size_t scales = 0;    // scales and zero points
  size_t low_rank = 0;  // factors
  size_t sparse = 0;    // outliers: values and indices
  size_t Total() const { return codes + scales + low_rank + sparse; }
};

inline constexpr int kMaxHeadDim = 576;

// Throws kUnsupported unless head_dim is a multiple of 8, from 8 to kMaxHeadDim.
void CheckHeadDim(int head_dim);

// Pages and rows of prepared queries are padded to multiples of 64 bytes.
constexpr size_t RoundUp64(size_t bytes) { return (bytes + 63) / 64 * 64; }

// The earlier pages of the same sequence, layer, head and part.
struct PagesBefore {
  int count = 0;
  const uint8_t* last = nullptr;  // the encoded page just before; null if none
};

// Of latent pages. key: the codec's head size; value: a multiple of 8, at most `key`.
struct LatentDims {
  int key, value;
};

// A codec with its parameters bound, for one head size. Stateless after construction; several threads may use
// it. All functions are pure:
// - Encode makes a page's bytes from its 64 x d block alone.
// - Seal makes a page's bytes from the open page. If Open() is kInt8, the open page's rows were rounded by a
//   universal scale: a mean over the earlier pages, passed from page to page. So a page of flashq with
//   buffer=int8 also depends on all earlier sealed pages of its sequence, and on nothing else: equal prefixes
//   have equal pages.
//
// A codec implements Name, Count, Encode, Decode, QueryBytes, PrepareQuery, Score and Mix. The other
// functions have defaults, for codecs that keep open pages in f16 and whose pages may hold any bytes.
class Codec {
 public:
  virtual ~Codec() = default;

  virtual std::string Name() const = 0;  // as given to --kv, with parameters: "gear2:r=4,s=2%"
  virtual OpenType Open() const { return OpenType::kF16; }

  // Exact size of an encoded block, not always a multiple of 64 (the page rounds up, and the ledger counts
  // that as padding).
  size_t Bytes(Part part) const { return Count(part).Total(); }
  virtual ByteCounts Count(Part part) const = 0;

  // block: [64, d] row-major, any numbers; finite.h says how NaN, infinite and too large ones count. encoded:
  // Bytes(part) bytes, aligned to 64.
  virtual void Encode(Part part, const float* block, uint8_t* encoded) const = 0;
  virtual void Decode(Part part, const uint8_t* encoded, float* block) const = 0;

  // Encodes a full open page. The default encodes the rows that it decodes to.
  virtual void Seal(Part part, const OpenCodec& open, const uint8_t* rows, const PagesBefore& before,
                    uint8_t* encoded) const;
  // The universal scale for the page after a sealed one; 0 if it has none.
  virtual float NextScale(Part part, const uint8_t* encoded) const { return 0.0f; }

  // False for bytes, for example of a crafted file, that no block encodes to and that would take Decode,
  // Score or Mix outside their buffers, or whose scale of the whole page is not finite.
  virtual bool Accepts(Part part, const uint8_t* encoded) const { return true; }

  // Converts a query row to the form that Score reads (for example INT8 with a scale), once per row, not per
  // page.
  virtual size_t QueryBytes() const = 0;  // of one row; a multiple of 64
  virtual void PrepareQuery(const float* query,
                            void* prepared) const = 0;  // query: [d], already scaled by 1/sqrt(d)

  // scores[r, t] = query r . key t.  prepared: [num_rows, QueryBytes()], scores: [num_rows, 64].
  // Each row's result is independent of num_rows and of the other rows.
  virtual void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const = 0;

  // out[r, :] = out[r, :] * rescale[r] + sum over t < 64 of probabilities[r, t] * value t.
  // probabilities: [num_rows, 64], not negative, 0 where masked.  out: [num_rows, d].
  virtual void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
                   float* out) const = 0;

  // Mix of a latent page: value t is the first dims.value elements of key t.  out: [num_rows, dims.value].
  // The default decodes the page and mixes in f32; a codec whose keys can be read as values rounds
  // probabilities as its Mix does.
  virtual void MixKeys(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
                       int num_rows, float* out) const;
};

}  // namespace throng::kv
