// Finds the agents in a part of a space. The data that a query compares is stored together: up to three
// agents of a bucket share a cache line; further ones are in chunks of the same form.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/huge_pages.h"
#include "sim/space/ids.h"
#include "sim/space/space.h"

namespace throng::sim {

class AgentBuckets {
 public:
  struct Entry {
    Pos pos;
    Step step = 0;
    AgentId id = 0;
  };

  void Resize(size_t num_buckets) { first_.resize(num_buckets); }

  void Add(size_t bucket, const Entry& entry) {
    Chunk& first = first_[bucket];
    Chunk* chunk = &first;
    if (first.size == kPerChunk) {
      if (first.next == kNone || further_[first.next].size == kPerChunk) first.next = NewChunk(first.next);
      chunk = &further_[first.next];
    }
    chunk->entries[chunk->size++] = entry;
  }

  void Remove(size_t bucket, AgentId id) {
    Chunk& first = first_[bucket];
    // The second chunk is the only one that may have room.
    Chunk& last = first.next == kNone ? first : further_[first.next];
    Entry& hole = Find(bucket, id);
    hole = last.entries[--last.size];
    if (last.size > 0 || first.next == kNone) return;
    const uint32_t empty = first.next;
    first.next = last.next;
    last.next = unused_;
    unused_ = empty;
  }

  // The entry of an agent in the bucket; valid until the next change.
  Entry& Find(size_t bucket, AgentId id) {
    Chunk* chunk = &first_[bucket];
    while (true) {
      for (uint32_t i = 0; i < chunk->size; ++i) {
        if (chunk->entries[i].id == id) return chunk->entries[i];
      }
      THRONG_CHECK(chunk->next != kNone);
      chunk = &further_[chunk->next];
    }
  }

  // Calls visit(entry) until it returns true, and returns whether it did.
  template <typename Function>
  bool Visit(size_t bucket, Function visit) const {
    const Chunk* chunk = &first_[bucket];
    while (true) {
      for (uint32_t i = 0; i < chunk->size; ++i) {
        if (visit(chunk->entries[i])) return true;
      }
      if (chunk->next == kNone) return false;
      chunk = &further_[chunk->next];
    }
  }

  void PrefetchBucket(size_t bucket) const { Prefetch(&first_[bucket]); }
  size_t Bytes() const { return (first_.capacity() + further_.capacity()) * sizeof(Chunk); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kPerChunk = 3;

  struct alignas(64) Chunk {
    std::array<Entry, kPerChunk> entries;
    uint32_t size = 0;
    uint32_t next = kNone;  // index in further_
  };

  uint32_t NewChunk(uint32_t next) {
    uint32_t at = unused_;
    if (at == kNone) {
      at = static_cast<uint32_t>(further_.size());
      further_.emplace_back();
    } else {
      unused_ = further_[at].next;
    }
    further_[at].next = next;
    return at;
  }

  HugeVector<Chunk> first_;  // by bucket
  HugeVector<Chunk> further_;
  uint32_t unused_ = kNone;  // head of the list of empty chunks in further_
};

}  // namespace throng::sim
