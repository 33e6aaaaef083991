// The codec for studies, compose:...: any combination of rotation, quantisation in groups, outliers and a
// low-rank term on one page, whether or not it is worth kernels. Its pages hold the decoded numbers, so that
// a model answers as it would with that combination; Bits says what a page would take.
#pragma once

#include <memory>
#include <string_view>

#include "kv/codec.h"

namespace throng::eval {

struct ComposeOptions {
  int bits = 2;    // b=: bits of a code, 1 to 8
  int group = 64;  // g=: elements that share a scale and a zero point
  // token=1: groups of keys are within a token, like those of values; else within a channel.
  bool token = false;
  bool rotate = false;  // rot=1: rows are rotated first, as in the codecs rot4 to rot2
  bool clip = false;    // clip=1: each group takes the share of its range that has the least squared error
  int rank = 0;         // r=: rank of the fit to the quantisation residual
  int factor_bits = 8;  // f=: bits of the fit's factors, 8 or 16
  double sparsity = 0;  // s=: share of the elements kept apart as outliers
};

class ComposeCodec : public kv::Codec {
 public:
  // Bits per element, everything included.
  virtual double Bits(kv::Part part) const = 0;
};

inline constexpr std::string_view kCompose = "compose";
inline constexpr std::string_view kComposeParameters =
    "compose:b=BITS,g=GROUP,token=1,rot=1,clip=1,r=RANK,f=FACTORBITS,s=PERCENT%";

bool IsCompose(std::string_view spec);
// spec: as kComposeParameters. Throws kInvalid.
std::shared_ptr<const ComposeCodec> ParseCompose(std::string_view spec, int head_dim);

}  // namespace throng::eval
