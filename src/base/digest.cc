#include "base/digest.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "base/check.h"

namespace throng {

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() = default;
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

Hasher& Hasher::Stream(const void* data, size_t size) {
  if (!streams_) {
    if (!state_) state_ = std::make_unique<State>();
    THRONG_CHECK(state_->xxh != nullptr);
    XXH3_128bits_reset(state_->xxh);
    XXH3_128bits_update(state_->xxh, buffer_.data(), size_);
    size_ = buffer_.size();
    streams_ = true;
  }
  XXH3_128bits_update(state_->xxh, data, size);
  return *this;
}

Digest Hasher::Finish() const {
  const XXH128_hash_t hash =
      streams_ ? XXH3_128bits_digest(state_->xxh) : XXH3_128bits(buffer_.data(), size_);
  return {hash.high64, hash.low64};
}

Hasher& Hasher::Reset() {
  size_ = 0;
  streams_ = false;
  return *this;
}

std::string Digest::Hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Digest DigestOf(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

}  // namespace throng
