// A client that sends any bytes, at any pace, over a socket of its own.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace throng::serve {

class RawClient {
 public:
  explicit RawClient(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    THRONG_CHECK(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  }
  RawClient(RawClient&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { Close(); }

  void Close() {
    if (socket_ >= 0) close(std::exchange(socket_, -1));
  }
  void EndSending() { shutdown(socket_, SHUT_WR); }

  // False once the server has closed.
  bool Send(std::string_view bytes) {
    return send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  // Sends what fits without waiting; returns how much.
  size_t TrySend(std::string_view bytes) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }

  // What arrives until `end` does, the server closes, or the time is over.
  std::string ReadUntil(std::string_view end, double seconds = 5) {
    std::string text;
    while (text.find(end) == text.npos && ReadSome(text, seconds)) {
    }
    return text;
  }
  // What arrives until the server closes. Sets closed to whether it did in time.
  std::string ReadAll(double seconds = 5, bool* closed = nullptr) {
    std::string text;
    const auto begin = std::chrono::steady_clock::now();
    const auto left = [&] {
      return seconds - std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    while (left() > 0 && ReadSome(text, left())) {
    }
    if (closed != nullptr) *closed = left() > 0;
    return text;
  }

 private:
  bool ReadSome(std::string& text, double seconds) {
    pollfd wanted{.fd = socket_, .events = POLLIN, .revents = 0};
    if (poll(&wanted, 1, static_cast<int>(seconds * 1000) + 1) != 1) return false;
    char buffer[4096];
    const ssize_t size = recv(socket_, buffer, sizeof(buffer), 0);
    if (size <= 0) return false;
    text.append(buffer, static_cast<size_t>(size));
    return true;
  }

  int socket_;
};

}  // namespace throng::serve
