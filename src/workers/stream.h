// Messages on a connected socket.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace throng::workers {

// Owns the socket. Nothing here waits: what the socket does not take yet is kept until it does.
class Stream {
 public:
  explicit Stream(int socket);
  ~Stream();
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;

  void Put(std::string_view message);
  // Both are false once the other end is gone; then nothing more arrives.
  bool Flush();
  bool Read(std::vector<std::string>& messages);

  int Socket() const { return socket_; }
  bool HasOutput() const { return sent_ < output_.size(); }

 private:
  int socket_;
  std::string output_;
  size_t sent_ = 0;
  std::string input_;
};

}  // namespace throng::workers
