// HTTP messages of Beast's from and to those of the gateway.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_MESSAGE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_MESSAGE_H_

// before Asio 1.74, which misses it with GCC 12
// clang-format off
#include <utility>
// clang-format on
#include <boost/asio/ip/address.hpp>
#include <boost/beast/http.hpp>
#include <string>

#include "services/preference_broker/http/answer.h"
#include "services/preference_broker/http/gateway.h"

namespace backflip::preference_broker {

inline constexpr uint32_t kMaxHeaderBytes = 16 << 10;

// What limits count as one place: an IPv4 address, or the 64 bits of a network of IPv6.
std::string Place(const boost::asio::ip::address& address);
// What the proxy in front says of where a request comes from, else `peer`.
std::string ForwardedPlace(const boost::beast::http::fields& fields, const std::string& peer);

// All of a request but its body and its place.
HttpRequest Head(const boost::beast::http::request_header<>& message);

// `secure`: browsers reach this server over TLS alone.
void SetHeaders(const Answer& answer, bool secure, bool keep_alive,
                boost::beast::http::fields* fields);

// To what is no HTTP, or too long.
Answer BadRequest(const boost::system::error_code& error);
Answer TooLong(size_t limit);
// When there are too many bytes in all.
Answer Busy();

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_MESSAGE_H_
