// The KV cache of one sequence: sealed blocks of 64 tokens (shared, immutable), an open block, and the state
// of the model's recurrent layers.
//
// A page is the keys and values of 64 tokens for one layer and one KV head. A block is the pages of one
// 64-token range for all layers and KV heads: the unit of allocation, sharing, spilling and freeing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kv/block_layout.h"
#include "kv/cache/block_pool.h"

namespace throng::kv {

// A page as attention reads it.
struct PageView {
  const uint8_t* keys;
  const uint8_t* values;  // null where values are in the keys
};

// Row i is at data + i * stride, in floats.
struct Rows {
  const float* data = nullptr;
  size_t stride = 0;
};

// A forward pass over n tokens: Reserve(n) by the owner; then BeginChunk(n); for each layer and KV head
// Append all rows, attend, FinishLayer; then EndChunk. A token at position p attends to the sealed pages of
// blocks below p / 64, in the form that Layout().window says, and to the open page of block p / 64, even when
// the same chunk completes that block. All forms of a block are encoded when it is sealed; a fine form and
// sliding pages that no later token sees are released at the end of the chunk.
//
// The open pages of a kept layer (LayerShape::kept) stay as they are until EndChunk, so that later layers can
// attend to them too.
//
// A recurrent layer updates State(layer) in place, token by token, between BeginChunk and EndChunk: it begins
// as zeros, or as the tokens before left it. Where a token completes block b and KeptState(layer, b) is not
// null, the layer copies the state there before it goes on. A sequence holds one state, that after its last
// token; at the end of a block it is SealedBlocks().back().state, which others may go on from, and the next
// chunk works on a copy. States of earlier blocks are there only if ReserveState asked for them.
//
// Calls for different heads of one layer may run at the same time; all other calls need one thread at a time.
class SequenceCache {
 public:
  explicit SequenceCache(BlockPool& pool);  // the pool must outlive it
  ~SequenceCache();
  SequenceCache(SequenceCache&&) noexcept;
  SequenceCache& operator=(SequenceCache&&) noexcept;

  BlockPool& Pool() const { return *pool_; }
  const BlockLayout& Layout() const { return *layout_; }
  int NumTokens() const { return num_tokens_; }  // excludes a running chunk

  // For the owner, between forward passes.

  // Takes all memory that a chunk of num_tokens needs, so that the forward pass cannot fail half-way. Returns
  // false and takes nothing if the budget has no room. A second call replaces the first reservation.
  [[nodiscard]] bool Reserve(int num_tokens);
  size_t BytesToReserve(int num_tokens) const;  // what Reserve would take now
  // Makes the reservation longer by tokens that may have to be truncated after the pass, as many as take no
  // more memory: those of the block that it ends in, without the last one, which would seal the block. None
  // with recurrent layers, whose state cannot be taken back.
  // Returns how many, at most num_tokens.
  int ReserveGuesses(int num_tokens);

  // After Reserve: takes room for the state after a block that the reserved chunk completes, for
  // SealedBlock::state. False if the budget has none. The state at the end of the chunk needs no room.
  [[nodiscard]] bool ReserveState(int block);
  // After Reserve: pages that no token after the reserved ones sees stay until ReleaseKept, for others that
  // may go on from an earlier block.
  void KeepUnseen() { keeps_unseen_ = true; }
  // Releases what KeepUnseen and ReserveState kept, once whoever wants it has it.
  void ReleaseKept();

  // After Reserve: takes room for a copy of the open rows of a block that the reserved chunk completes:
  // sealed, it could not be cut. False if the budget has none.
  [[nodiscard]] bool ReserveRows(int block);
  // These copies, once, after the chunk, in the form of OpenRows().
  struct BlockRows {
    int block;
    BlockRef rows;
  };
  std::vector<BlockRows> TakeRows() { return std::exchange(rows_, {}); }
  // Gives away the incomplete last block, and forgets its tokens; null if there is none.
  BlockRef TakeOpen();

  // Starts an empty cache with sealed blocks: a hit in the prefix cache. UsableBlocks must allow all of them;
  // pages and states that the next token does not see are not kept.
  void Adopt(std::span<const SealedBlock> blocks);
  std::span<const SealedBlock> SealedBlocks() const {
    return sealed_;
  }  // block i holds tokens [64 i, 64 i + 64)

  // The rows of the incomplete last block, in the form of Layout().open_bytes; null if there is none.
  const Block* OpenRows() const;
  // The state after the last token, in the form of Layout().state_bytes; null if there is none.
  const Block* LastState() const;
  // Starts an empty cache with sealed blocks, the first `count` < 64 tokens of such rows, and such a state
  // after them. Blocks need no states. False, and the cache stays empty, if the budget has no room.
  [[nodiscard]] bool AdoptOpen(std::span<const SealedBlock> blocks, int count, const Block& rows,
                               const Block* state);
  // The same with a block and a state of its own.
  void TakeOpen(std::span<const SealedBlock> blocks, int count, std::shared_ptr<Block> rows,
                std::shared_ptr<Block> state);

  // The most tokens, up to num_tokens, that Fork and Truncate can keep: a sealed block cannot be cut, and the
  // next token needs the fine form and the sliding pages in its reach, which blocks further back no longer
  // have.
  // With recurrent layers all tokens, or those up to a block whose state is there.
  int Reusable(int num_tokens) const;

  // Copies all tokens, or Reusable(num_tokens), and shares the sealed blocks; empty if the budget has no room
  // for the copy's open block and state.
  [[nodiscard]] std::optional<SequenceCache> Fork() const { return Fork(num_tokens_); }
  [[nodiscard]] std::optional<SequenceCache> Fork(int num_tokens) const;

  // Keeps Reusable(num_tokens) tokens and returns their number; the rest must be computed again.
  int Truncate(int num_tokens);

  // Drops all tokens and releases all memory. Also ends a chunk that cannot be finished.
  void Release();

  // For the forward pass. In a device's memory (BlockMemory), Append, Sealed, Open and FinishLayer give way
  // to SealedSlab and OpenSlab: kernels find pages in whole blocks, and what rows after the last one hold
  // does not count.

  void BeginChunk(int num_tokens);  // 1 <= num_tokens <= the reserved number
  int ChunkTokens() const { return chunk_tokens_; }

  // Rows of all tokens of the chunk: keys after rotation, [key_dim], and values, [value_dim], unless they are
  // in the keys. Blocks that become complete are encoded at once; their raw rows stay readable until
  // FinishLayer. The open page clamps to its type's finite range, and a NaN becomes 0.
  void Append(int layer, int head, Rows keys, Rows values = {});
  // A complete block, in a form that it has.
  PageView Sealed(int layer, int head, int block, Form form = Form::kBase) const;
  PageView Open(int layer, int head, int block) const;  // a block that the chunk touches
  void FinishLayer(int layer, int head);
  // Where the base form of a complete block is, or is to be sealed: kSealed, or kSliding, null once released.
  // And the rows of a block that the chunk touches, of all layers; in a device's memory alone.
  uint8_t* SealedSlab(BlockKind kind, int block) const;
  uint8_t* OpenSlab(int block) const { return OpenOf(block)->Data(); }

  // The running state of a recurrent layer, [states[layer].floats] of the layout; aligned to 64 bytes.
  // Threads may share it out among them.
  float* State(int layer) const;
  // Where to write the same after the last token of a block that the chunk completes; null if nobody asked.
  float* KeptState(int layer, int block) const;

  void EndChunk();

 private:
  size_t ScratchBytes(int num_tokens) const;
  bool TakeScratch(int num_tokens);
  const std::shared_ptr<Block>& OpenOf(int block) const;
  void KeepOpenBlock();
  uint8_t* OpenPage(int layer, int block, size_t offset) const;
  void AppendPart(Part part, int layer, int head, Rows rows);
  void Seal(Part part, int layer, int head, int block);
  void KeepOpenRows(int layer, int head);
  // Of a complete block that has these pages.
  const uint8_t* SealedData(int layer, int block, Form form) const;
  const uint8_t* BaseBefore(int layer, int block, size_t offset) const;
  bool TakeReservation(int num_tokens);
  void DropReservation();
  void TakeBlocks(std::span<const SealedBlock> blocks);
  void DropUnseen();
  void LoadState();
  void ClearOpen(int first);
  bool HasStates() const { return layout_->state_bytes > 0; }
  void Swap(SequenceCache& other) noexcept;

  BlockPool* pool_;
  const BlockLayout* layout_;
  int num_tokens_ = 0;
  std::vector<SealedBlock> sealed_;
  std::shared_ptr<Block> open_;   // rows of the last, incomplete block; null if there is none
  std::shared_ptr<Block> state_;  // after its last token; null at the end of a block

  // State of the reservation and the running chunk:
  int reserved_tokens_ = 0;
  int chunk_tokens_ = 0;
  bool keeps_unseen_ = false;
  struct Filling {
    std::shared_ptr<Block> base;
    std::shared_ptr<Block> sliding;
    std::shared_ptr<Block> fine;
    std::shared_ptr<Block> state;  // null: nobody asked
    std::shared_ptr<Block> rows;   // likewise
  };
  std::vector<Filling> filling_;  // blocks that the chunk completes
  uint8_t* scratch_ =
      nullptr;  // open pages of all touched blocks except the first: [blocks, Layout().chunk_bytes]
  size_t scratch_bytes_ = 0;
  std::vector<std::shared_ptr<Block>> later_open_;  // the same in a device's memory, as whole blocks
  std::vector<BlockRows> rows_;                     // for TakeRows
};

}  // namespace throng::kv
