#include "kv/gear/gear_layout.h"

namespace throng::kv {

GearLayout::GearLayout(Part part, int head_dim, int bits, int group, int rank, int entries, int rounds)
    : part(part),
      rows(part == Part::kKeys ? head_dim : kPageTokens),
      lanes(part == Part::kKeys ? kPageTokens : head_dim),
      bits(bits),
      group(group),
      num_groups((lanes + group - 1) / group),
      rank(rank),
      entries(entries),
      rounds(rounds) {
  count.codes = static_cast<size_t>(rows) * lanes * bits / 8;
  count.scales = size_t{4} * num_groups * rows;
  count.low_rank = static_cast<size_t>(rank) * (rows + lanes + sizeof(float));
  count.sparse = size_t{4} * entries;
  scales = count.codes;
  zeros = scales + count.scales / 2;
  row_factors = zeros + count.scales / 2;
  lane_factors = row_factors + static_cast<size_t>(rank) * rows;
  factor_scales = lane_factors + static_cast<size_t>(rank) * lanes;
  differences = factor_scales + rank * sizeof(float);
  row_slots = differences + size_t{2} * entries;
  lane_slots = row_slots + entries;
}

GearSlots GearLayout::LoadSlots(const uint8_t* encoded, int entry) const {
  const int row = encoded[row_slots + entry], lane = encoded[lane_slots + entry];
  if (part == Part::kKeys) return {row | (lane >> 6) << 8, lane & 63};
  return {row & 63, lane | (row >> 6) << 8};
}

void GearLayout::StoreSlots(GearSlots slots, int entry, uint8_t* encoded) const {
  auto& [row, lane] = slots;
  part == Part::kKeys ? lane |= (row >> 8) << 6 : row |= (lane >> 8) << 6;
  encoded[row_slots + entry] = static_cast<uint8_t>(row);
  encoded[lane_slots + entry] = static_cast<uint8_t>(lane);
}

}  // namespace throng::kv
