#include "workers/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace throng::workers {

namespace {

constexpr size_t kReadBytes = 1 << 16;

}  // namespace

Stream::Stream(int socket) : socket_(socket) {
  if (fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) | O_NONBLOCK) != 0) {
    throw MakeError(ErrorCode::kIo, "a worker's socket: {}", std::strerror(errno));
  }
}

Stream::~Stream() {
  if (socket_ >= 0) close(socket_);
}

Stream::Stream(Stream&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      output_(std::move(other.output_)),
      sent_(other.sent_),
      input_(std::move(other.input_)) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(socket_, other.socket_);
  output_ = std::move(other.output_);
  sent_ = other.sent_;
  input_ = std::move(other.input_);
  return *this;
}

void Stream::Put(std::string_view message) {
  const uint64_t size = message.size();
  output_.append(reinterpret_cast<const char*>(&size), sizeof(size));
  output_.append(message);
}

bool Stream::Flush() {
  while (HasOutput()) {
    const ssize_t sent = send(socket_, output_.data() + sent_, output_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    sent_ += static_cast<size_t>(sent);
  }
  output_.clear();
  sent_ = 0;
  return true;
}

bool Stream::Read(std::vector<std::string>& messages) {
  bool is_open = true;
  while (true) {
    const size_t before = input_.size();
    input_.resize(before + kReadBytes);
    const ssize_t got = recv(socket_, input_.data() + before, kReadBytes, 0);
    input_.resize(before + static_cast<size_t>(got > 0 ? got : 0));
    if (got > 0) continue;
    if (got < 0 && errno == EINTR) continue;
    is_open = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    break;
  }
  size_t at = 0;
  uint64_t size = 0;
  while (input_.size() - at >= sizeof(size)) {
    std::memcpy(&size, input_.data() + at, sizeof(size));
    if (input_.size() - at - sizeof(size) < size) break;
    messages.push_back(input_.substr(at + sizeof(size), size));
    at += sizeof(size) + size;
  }
  input_.erase(0, at);
  return is_open;
}

}  // namespace throng::workers
