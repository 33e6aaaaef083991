// GET / and GET /viewer.js: the files of web/, which the build puts into the program.

#include "serve/endpoints.h"
#include "serve/http/gzip.h"
#include "serve/web_files.h"

namespace throng::serve {
namespace {

// Packed once: it takes longer than all the rest of the reply.
constexpr int kSmall = 9;

HttpReply FileReply(const HttpRequest& request, const char* type, const char* bytes,
                    const std::string& packed) {
  HttpReply reply;
  reply.type = type;
  reply.headers.emplace_back("Vary", "Accept-Encoding");
  if (AcceptsGzip(request)) {
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = packed;
  } else {
    reply.body = bytes;
  }
  return reply;
}

}  // namespace

HttpReply ViewerPage(Context& context, const HttpRequest& request) {
  static const std::string packed = Gzip(kViewerPage, kSmall);
  return FileReply(request, "text/html; charset=utf-8", kViewerPage, packed);
}

HttpReply ViewerScript(Context& context, const HttpRequest& request) {
  static const std::string packed = Gzip(kViewerScript, kSmall);
  return FileReply(request, "text/javascript; charset=utf-8", kViewerScript, packed);
}

}  // namespace throng::serve
