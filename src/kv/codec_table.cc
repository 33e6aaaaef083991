#include "kv/codec_table.h"

#include <algorithm>

#include "base/error.h"
#include "base/text/key_values.h"
#include "kv/flashq/flashq.h"
#include "kv/float/float.h"
#include "kv/fp8/fp8.h"
#include "kv/gear/gear.h"
#include "kv/int8/int8.h"
#include "kv/kvarn/kvarn.h"
#include "kv/rot/rot.h"

namespace throng::kv {
namespace {

// To add a codec: its folder, and one line here.
constexpr CodecEntry kCodecs[] = {
    {"f32", "", "rows as 32-bit floats: the reference",
     [](KeyValues&, int d) -> std::shared_ptr<const Codec> { return MakeF32(d); }},
    {"f16", "", "rows as 16-bit floats: the usual cache",
     [](KeyValues&, int d) -> std::shared_ptr<const Codec> { return MakeF16(d); }},
    {"int8", "", "8-bit integers with one scale per token; integer dot products",
     [](KeyValues&, int d) { return MakeInt8(d); }},
    {"kivi4", "g=TOKENS,kcvt=1", "4-bit codes: keys per channel, values per token; integer dot products",
     [](KeyValues& p, int d) { return MakeGear({.name = "kivi4", .bits = 4}, p, d); }},
    {"kivi3", "g=TOKENS,kcvt=1", "3-bit codes: keys per channel, values per token",
     [](KeyValues& p, int d) { return MakeGear({.name = "kivi3", .bits = 3}, p, d); }},
    {"kivi2", "g=TOKENS,kcvt=1", "2-bit codes: keys per channel, values per token",
     [](KeyValues& p, int d) { return MakeGear({.name = "kivi2", .bits = 2}, p, d); }},
    {"kcvt4", "g=TOKENS", "kivi4 with one scale for all channels of a token's values",
     [](KeyValues& p, int d) { return MakeGear({.name = "kcvt4", .bits = 4, .kcvt = true}, p, d); }},
    {"gearl4", "r=RANK,rounds=N,g=TOKENS,kcvt=1", "kivi4 and a low-rank fit of its errors",
     [](KeyValues& p, int d) {
       return MakeGear({.name = "gearl4", .bits = 4, .rank = 4, .rounds = 2}, p, d);
     }},
    {"gearl2", "r=RANK,rounds=N,g=TOKENS,kcvt=1", "kivi2 and a low-rank fit of its errors",
     [](KeyValues& p, int d) {
       return MakeGear({.name = "gearl2", .bits = 2, .rank = 4, .rounds = 2}, p, d);
     }},
    {"gear4", "r=RANK,s=PERCENT%,rounds=N,g=TOKENS,kcvt=1",
     "kivi4, exact outliers, and a low-rank fit of the errors",
     [](KeyValues& p, int d) {
       return MakeGear({.name = "gear4", .bits = 4, .rank = 4, .sparsity = 0.02, .rounds = 2}, p, d);
     }},
    {"gear2", "r=RANK,s=PERCENT%,rounds=N,g=TOKENS,kcvt=1",
     "kivi2, exact outliers, and a low-rank fit of the errors",
     [](KeyValues& p, int d) {
       // r=4,s=2% takes 1.6 times kivi2's bytes at 64 tokens a page: docs/kv-study.md.
       return MakeGear({.name = "gear2", .bits = 2, .rank = 2, .sparsity = 0.01, .rounds = 2}, p, d);
     }},
    {"flashq4", "buffer=f16|int8",
     "4-bit integers per channel of an INT8 block; integer dot products on the codes",
     [](KeyValues& p, int d) { return MakeFlashq(4, FlashqBuffer(p), d); }},
    {"flashq2", "buffer=f16|int8", "2-bit integers per channel of an INT8 block",
     [](KeyValues& p, int d) { return MakeFlashq(2, FlashqBuffer(p), d); }},
    {"rot4", "", "4-bit codes of randomly rotated rows, scale and midpoint per token",
     [](KeyValues&, int d) { return MakeRot(4, d); }},
    {"rot3", "", "3-bit codes of randomly rotated rows", [](KeyValues&, int d) { return MakeRot(3, d); }},
    {"rot2", "", "2-bit codes of randomly rotated rows", [](KeyValues&, int d) { return MakeRot(2, d); }},
    {"kvarn", "k=BITS,v=BITS",
     "KVarN: rotated rows, tokens and channels brought to one variance; 4-bit keys and 2-bit values",
     [](KeyValues& p, int d) { return MakeKvarn(p, d); }},
    {"int4", "", "4-bit codes, scale and midpoint per token and head, as other engines have them",
     [](KeyValues&, int d) { return MakeInt4(d); }},
    {"fp8", "", "8-bit floats (E4M3) with a scale per token and head, as other engines have them",
     [](KeyValues&, int d) { return MakeFp8(d); }},
};

}  // namespace

std::span<const CodecEntry> CodecTable() { return kCodecs; }

std::string CodecNames() {
  std::string names;
  for (const CodecEntry& entry : kCodecs) names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

std::shared_ptr<const Codec> ParseCodec(std::string_view spec, int head_dim) {
  CheckHeadDim(head_dim);
  const NamedValues named = SplitName(spec);
  const auto entry = std::find_if(std::begin(kCodecs), std::end(kCodecs),
                                  [&](const CodecEntry& candidate) { return named.name == candidate.name; });
  if (entry == std::end(kCodecs)) {
    throw MakeError(
        ErrorCode::kInvalid,
        "unknown KV codec \"{}\" (allowed: {}; in a KV cache also flashq-mixed, one for each head as in "
        "rot4/kivi2, and with any of them bias=, sink= and recent=; as --kv of a run also auto and a "
        "file that --kv-out wrote)",
        named.name, CodecNames());
  }
  KeyValues parameters(fmt::format("codec {}", named.name), named.values);
  std::shared_ptr<const Codec> codec = entry->make(parameters, head_dim);
  parameters.CheckAllUsed();
  return codec;
}

}  // namespace throng::kv
