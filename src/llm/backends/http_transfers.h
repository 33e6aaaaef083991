// HTTP requests in flight and their replies, over libcurl. What they mean is not known here.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace throng::llm {

// One request and its reply.
struct HttpTransfer {
  virtual ~HttpTransfer() = default;

  std::string url;
  std::string body;            // of a POST; empty: a GET
  std::string api_key;         // empty: none
  double connect_timeout = 0;  // seconds
  double timeout = 0;          // seconds from the start to the last byte of the reply

  CURLcode result = CURLE_OK;
  std::string error;  // libcurl's words; may be empty
  int status = 0;
  double retry_after = 0;  // seconds; 0 if the server does not say
  bool connected = false;
  bool too_long = false;  // the reply had more than HttpTransfers::kMaxReplyBytes
  std::string reply;
  std::string server;  // the header

  std::chrono::steady_clock::time_point begin;
  CURL* easy = nullptr;  // HttpTransfers'
  curl_slist* headers = nullptr;
  char error_buffer[CURL_ERROR_SIZE] = "";

  double Seconds() const;  // since it began
  bool HasReply() const { return result == CURLE_OK; }
};

// One thread, but for Wake.
class HttpTransfers {
 public:
  static constexpr size_t kMaxReplyBytes = 16 << 20;

  // most: connections that are kept open.
  explicit HttpTransfers(int most);
  ~HttpTransfers();
  HttpTransfers(const HttpTransfers&) = delete;
  HttpTransfers& operator=(const HttpTransfers&) = delete;

  // Whether libcurl can make anything of an origin such as "http://localhost:8000".
  static bool IsOrigin(const std::string& origin);

  // The transfer stays where it is until it is over or ended.
  void Start(HttpTransfer& transfer);
  // Closes the connection if the transfer is not over.
  void End(HttpTransfer& transfer);
  // Moves all on; returns those that are over.
  std::vector<HttpTransfer*> Run();
  // Waits until there is something to move on, or Wake was called.
  void Poll(int ms) { curl_multi_poll(multi_, nullptr, 0, ms, nullptr); }
  void Wake() { curl_multi_wakeup(multi_); }

 private:
  const std::string no_proxy_;
  CURLM* multi_ = nullptr;
  std::vector<CURL*> idle_;
};

}  // namespace throng::llm
