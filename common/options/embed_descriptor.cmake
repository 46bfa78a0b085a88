# cmake -DIN=file.binpb -DOUT=file.cc -P embed_descriptor.cmake: writes kRunProto with the bytes of IN.
file(READ ${IN} bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "(................................................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "namespace backflip::options {\n
extern const unsigned char kRunProto[];\nextern const int kRunProtoBytes;
const unsigned char kRunProto[] = {\n${bytes}};\nconst int kRunProtoBytes = ${size};\n
}  // namespace backflip::options\n")
