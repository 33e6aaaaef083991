// Finds the ids of texts: opening a model makes a million look-ups, and the nodes of a std::unordered_map
// cost two more waits for memory each.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace throng::model {

// Open addressing. The texts stay with the owner: text_of(id) is the text of an id that was inserted.
class TextIndex {
 public:
  explicit TextIndex(size_t num_texts = 0) : slots_(std::bit_ceil(2 * num_texts + 2)) {}

  // Brings the place of a text into the caches, for many look-ups at once.
  void Prefetch(std::string_view text) const {
    __builtin_prefetch(&slots_[Hash(text) & (slots_.size() - 1)]);
  }

  // The id of a text, or -1.
  template <typename TextOf>
  int32_t Find(std::string_view text, const TextOf& text_of) const {
    return slots_[SlotOf(text, Hash(text), text_of)].id;
  }

  // Returns the id that the text has already, else `id`, which becomes its id.
  template <typename TextOf>
  int32_t Insert(std::string_view text, int32_t id, const TextOf& text_of) {
    const uint32_t hash = Hash(text);
    const size_t slot = SlotOf(text, hash, text_of);
    if (slots_[slot].id >= 0) return slots_[slot].id;
    slots_[slot] = {hash, id};
    if (++num_texts_ > slots_.size() / 2) Grow();
    return id;
  }

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;  // none
  };

  static uint32_t Hash(std::string_view text) {
    return static_cast<uint32_t>(std::hash<std::string_view>()(text));
  }

  // The slot of the text, or the empty one where it belongs.
  template <typename TextOf>
  size_t SlotOf(std::string_view text, uint32_t hash, const TextOf& text_of) const {
    const size_t mask = slots_.size() - 1;
    size_t i = hash & mask;
    while (slots_[i].id >= 0 && (slots_[i].hash != hash || text_of(slots_[i].id) != text)) i = (i + 1) & mask;
    return i;
  }

  void Grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    const size_t mask = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.id < 0) continue;
      size_t i = slot.hash & mask;
      while (slots_[i].id >= 0) i = (i + 1) & mask;
      slots_[i] = slot;
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t num_texts_ = 0;
};

}  // namespace throng::model
