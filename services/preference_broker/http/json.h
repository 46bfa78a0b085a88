// Messages as JSON, in protobuf's mapping.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_JSON_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace backflip::preference_broker {

// The proto3 JSON mapping: lowerCamelCase names, 64-bit integers as text, defaults left out. Writes
// what google::protobuf::util writes, except that numbers have the fewest digits that read back
// the same, in a tenth of the time (the poses of a pair take that library 0.9 ms). Requires map
// keys to be text and none of protobuf's well-known types, as in the protocol.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_JSON_H_
