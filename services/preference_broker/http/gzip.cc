#include "services/preference_broker/http/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace backflip::preference_broker {
namespace {

// zlib's largest window, and 16 for the gzip format.
constexpr int kGzipWindow = MAX_WBITS + 16;
constexpr int kMemoryLevel = 8;
constexpr size_t kChunk = 64 << 10;

Bytef* Input(absl::string_view bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib only reads it
}

}  // namespace

std::string Gzip(absl::string_view bytes, int level) {
  z_stream stream = {};
  if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    throw std::bad_alloc();  // the only reason with these arguments
  }
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = Input(bytes);
  stream.avail_in = bytes.size();
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = out.size();
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

absl::StatusOr<std::string> Gunzip(absl::string_view bytes, size_t limit) {
  z_stream stream = {};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = Input(bytes);
  stream.avail_in = bytes.size();
  std::string out;
  int result = Z_OK;
  while (result == Z_OK) {
    const size_t had = out.size();
    // one byte above the limit shows that there is more
    const size_t room = std::min(kChunk, limit + 1 - had);
    out.resize(had + room);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    stream.avail_out = room;
    result = inflate(&stream, Z_NO_FLUSH);
    out.resize(had + room - stream.avail_out);
    if (out.size() > limit) {
      return absl::OutOfRangeError(
          absl::StrCat("the body is longer than ", limit, " bytes when it is decompressed"));
    }
  }
  if (result != Z_STREAM_END || stream.avail_in > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not one whole gzip stream, as Content-Encoding says it is: it is "
                     "damaged, cut off, or "
                     "something comes after it (at byte ",
                     stream.total_in, ")"));
  }
  return out;
}

bool AcceptsGzip(absl::string_view accept_encoding) {
  bool any = false;
  for (const absl::string_view item : absl::StrSplit(accept_encoding, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(item, absl::MaxSplits(';', 1));
    const absl::string_view coding = absl::StripAsciiWhitespace(parts.first);
    const absl::string_view weight = absl::StripAsciiWhitespace(parts.second);
    double q = 1;
    if (absl::StartsWithIgnoreCase(weight, "q=") && !absl::SimpleAtod(weight.substr(2), &q)) q = 0;
    if (absl::EqualsIgnoreCase(coding, "gzip")) return q > 0;
    if (coding == "*") any = q > 0;
  }
  return any;
}

}  // namespace backflip::preference_broker
