#include "base/digest.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "base/check.h"

namespace throng {

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  THRONG_CHECK(state_->xxh != nullptr);
  XXH3_128bits_reset(state_->xxh);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

Hasher& Hasher::Bytes(const void* data, size_t size) {
  XXH3_128bits_update(state_->xxh, data, size);
  return *this;
}

Hasher& Hasher::Add(std::string_view text) {
  Add(static_cast<uint64_t>(text.size()));
  return Bytes(text.data(), text.size());
}

Hasher& Hasher::Add(const Digest& digest) { return Add(digest.high).Add(digest.low); }

Digest Hasher::Finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return {hash.high64, hash.low64};
}

Hasher& Hasher::Reset() {
  XXH3_128bits_reset(state_->xxh);
  return *this;
}

std::string Digest::Hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Digest DigestOf(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

}  // namespace throng
