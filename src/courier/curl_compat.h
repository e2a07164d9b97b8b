/*
 * curl_compat.h
 *	  The only place that tests a library's version: libcurl's and json-c's.
 *
 * libcurl 7.68 (2020) is the oldest that has all that the rest of the courier takes for granted (curl_multi_poll,
 * 7.66); it is tried with 7.88, 8.14 and 8.23.
 */
#ifndef KSEG_COURIER_CURL_COMPAT_H
#define KSEG_COURIER_CURL_COMPAT_H

#include <curl/curl.h>

#if LIBCURL_VERSION_NUM < 0x074400
#error "kseg-courier needs libcurl 7.68 or later"
#endif

/* 7.85 has protocols as texts and deprecates the bit masks. */
#if LIBCURL_VERSION_NUM >= 0x075500
#define KSEG_CURL_PROTOCOLS      CURLOPT_PROTOCOLS_STR
#define KSEG_CURL_PROTOCOL_HTTP  "http"
#define KSEG_CURL_PROTOCOL_HTTPS "https"
#else
#define KSEG_CURL_PROTOCOLS      CURLOPT_PROTOCOLS
#define KSEG_CURL_PROTOCOL_HTTP  ((long) CURLPROTO_HTTP)
#define KSEG_CURL_PROTOCOL_HTTPS ((long) CURLPROTO_HTTPS)
#endif

/* 7.87: do not wait for a name that is still being looked up. Before, a lookup that hangs could hold up other lanes. */
#if LIBCURL_VERSION_NUM >= 0x075700
#define KSEG_CURL_HAS_QUICK_EXIT 1
#endif

/* 7.80: a connection's age. Before, a busy connection could outlive its address. */
#if LIBCURL_VERSION_NUM >= 0x075000
#define KSEG_CURL_HAS_MAXLIFETIME_CONN 1
#endif

#endif /* KSEG_COURIER_CURL_COMPAT_H */
